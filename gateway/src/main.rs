//! Parse, install the process globals, do what was asked.

use gateway::cli::Cli;

fn main() -> anyhow::Result<()> {
    shared::lifecycle::run_to_end(shared::config::parse::<Cli>().run())
}
