//! Reads the settings, installs logs and metrics, starts the worker and waits for a signal.

use run_worker::config::Config;

fn main() -> anyhow::Result<()> {
    if run_worker::init::is_first() {
        shared::lifecycle::forbid_core_dumps();
        std::process::exit(run_worker::init::run_as_child()?);
    }
    let config: Config = shared::config::parse();
    let metrics = shared::telemetry::install(&config.log)?;
    shared::lifecycle::run_to_end(async {
        let running = run_worker::start(&config, Some(metrics)).await?;
        running.lifecycle.run_until_signalled().await
    })
}
