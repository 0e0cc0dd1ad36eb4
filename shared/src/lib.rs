//! What capi's services must agree on for correctness, and what makes all of them start, stop and log alike.
//! Nothing else enters: see "What belongs where" in docs/CONTRIBUTING.md.

pub mod apps;
pub mod batch;
pub mod clock;
pub mod config;
pub mod db;
pub mod definition_checker;
pub mod deliveries;
pub mod encryption;
pub mod ids;
pub mod lifecycle;
pub mod limits;
pub mod media_types;
mod metric_help;
pub mod missing_plans;
pub mod net;
pub mod ops;
pub mod output_schema;
pub mod prompt;
pub mod queue;
pub mod runs;
pub mod storage;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
pub mod time;
pub mod tls;
pub mod tools;
pub mod webhook_policies;
pub mod webhook_secrets;
