//! The API for programs: one endpoint a file, each with its response type. Handlers read a request, call the
//! domain, and render what it returns.

mod apps;
mod artifacts;
pub mod caller;
mod deliveries;
mod me;
mod models;
pub mod openapi;
pub mod routes;
mod runs;
mod types;

pub use caller::Caller;
