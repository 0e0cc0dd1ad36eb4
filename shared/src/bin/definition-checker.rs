//! The child process that parses, compiles and applies prompt templates and output schemas. Only the gateway
//! and the run-worker start it; see `shared::definition_checker`.

fn main() -> anyhow::Result<()> {
    shared::definition_checker::program::run()
}
