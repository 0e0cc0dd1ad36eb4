//! All services as processes, on the real PostgreSQL and RabbitMQ.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]
#![expect(clippy::float_cmp, reason = "counters are whole numbers")]

mod access;
mod agent;
mod artifacts;
mod bad_requests;
mod broker;
mod browser;
mod budgets;
mod cancels;
mod console;
mod database;
mod dead_letters;
mod dependencies;
mod documents;
mod fairness;
mod faults;
mod files;
mod fuzz;
mod http;
mod idempotency;
mod keys;
mod limits;
mod metric_help;
mod model;
mod outages;
mod path;
mod queue_timeout;
mod results;
mod resuming;
mod runs;
mod samples;
mod sandbox;
mod sandbox_tools;
mod schema;
mod secrets;
mod settings;
mod slow;
mod waits;
