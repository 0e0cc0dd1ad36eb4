//! The gateway: checks keys, limits rates, accepts runs and answers for them. It executes nothing.
//!
//! Read `accept` first (the run's birth), then `routes`, then one endpoint.

pub mod accept;
pub mod apps;
pub mod artifacts;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod console;
pub mod context;
pub mod docs;
pub mod error;
pub mod extract;
pub mod idempotency;
pub mod live;
pub mod me;
mod middleware;
pub mod mistake;
pub mod models;
pub mod openapi;
mod overdue;
pub mod problems;
pub mod routes;
pub mod runs;
pub mod server;

pub use server::{Running, start};
