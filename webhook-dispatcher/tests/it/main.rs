//! A dispatcher in process, over the real PostgreSQL and RabbitMQ, with real receivers.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod addresses;
mod answers;
mod backlog;
mod bodies;
mod circuits;
mod delivering;
mod events;
mod fixture;
mod leases;
mod libraries;
mod losses;
mod reasons;
mod refusals;
mod schedule;
mod secrets;
mod sets;
mod shares;
