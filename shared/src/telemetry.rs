//! Logs and metrics. They are process globals, so only the `main` of a service installs them.

pub use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::config::{LogConfig, LogFormat};

/// Seconds, from a fast statement to a slow run.
const DURATION_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// The crates of capi. For all others the level is at most `info`, whatever CAPI_LOG says: below, some log
/// what they send, which holds keys and inputs.
const OWN: [&str; 7] = [
    "gateway",
    "gateway_domain",
    "model_client",
    "run_worker",
    "webhook_dispatcher",
    "public_client",
    "shared",
];

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let of = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || OWN.contains(&of)
}

/// Installs the log subscriber (to standard error) and the metrics recorder.
pub fn install(config: &LogConfig) -> anyhow::Result<PrometheusHandle> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        anyhow::anyhow!("CAPI_LOG must be a filter like `info` or `run_worker=debug,info`: {error}")
    })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
        LogFormat::Text => lines.with_ansi(false).boxed(),
    };
    registry().with(lines.with_filter(filter.and(filter_fn(may_be_logged)))).try_init()?;
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS)?
        .install_recorder()?;
    crate::metric_help::describe();
    Ok(recorder)
}
