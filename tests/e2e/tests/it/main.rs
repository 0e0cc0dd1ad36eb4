//! All services as processes, on the real PostgreSQL and RabbitMQ.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod access;
mod artifacts;
mod contract;
mod database;
mod dependencies;
mod documents;
mod faults;
mod keys;
mod limits;
mod outages;
mod path;
mod runs;
mod schema;
mod settings;
mod slow;
