//! A dispatcher in process, over the real PostgreSQL and RabbitMQ, with real receivers.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod delivering;
mod fixture;
mod leases;
mod refusals;
