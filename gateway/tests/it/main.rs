//! The gateway over HTTP, inside the test's process, on the real PostgreSQL and RabbitMQ.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod access;
mod app;
mod apps_files;
mod artifacts;
mod bad_requests;
mod connections;
mod console;
mod deliveries;
mod documents;
mod doors;
mod events;
mod files;
mod forms;
mod hangs;
mod http;
mod idempotency;
mod keys;
mod likely_mistakes;
mod limits;
mod outages;
mod property;
mod quotas;
mod runs;
mod scopes;
mod search;
mod slow_readers;
mod uploads;
