//! All services as processes, on the real PostgreSQL and RabbitMQ. Tests that need only a gateway are in
//! gateway/tests/it.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]
#![expect(clippy::float_cmp, reason = "counters are whole numbers")]

mod agent;
mod broker;
mod browser;
mod budgets;
mod cancels;
mod commands;
mod console;
mod database;
mod dead_letters;
mod dependencies;
mod docs;
mod documents;
mod egress;
mod fairness;
mod faults;
mod files;
mod fuzz;
mod guides;
mod idempotency;
mod licences;
mod metric_help;
mod model;
mod outages;
mod path;
mod processes;
mod queue_timeout;
mod quotas;
mod request_ids;
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
mod statements;
mod store;
mod supply_chain;
mod waits;
mod webhooks;
