//! Reads the settings, installs logs and metrics, starts the dispatcher and waits for a signal.

use webhook_dispatcher::config::Config;

fn main() -> anyhow::Result<()> {
    let config: Config = shared::config::parse();
    let metrics = shared::telemetry::install(&config.log)?;
    shared::lifecycle::run_to_end(async {
        let running = webhook_dispatcher::start(&config, Some(metrics)).await?;
        running.lifecycle.run_until_signalled().await
    })
}
