//! Starts the supervisor. As the supervisor's child: reads the settings, installs logs and metrics, starts
//! the worker and waits for a signal.

use run_worker::config::Config;

fn main() -> anyhow::Result<()> {
    shared::lifecycle::forbid_core_dumps();
    let config: Config = shared::config::parse();
    let Some(supervised) = &config.supervised else {
        std::process::exit(run_worker::supervisor::run(&config)?);
    };
    supervised.end_with_supervisor()?;
    let metrics = shared::telemetry::install(&config.log)?;
    shared::lifecycle::run_to_end(async {
        let running = run_worker::start(&config, Some(metrics)).await?;
        running.lifecycle.run_until_signalled().await
    })
}
