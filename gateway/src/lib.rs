//! The gateway: checks keys, limits rates, accepts runs and answers for them. It executes nothing.
//!
//! `start` puts a process together. `api` (for programs), `console` (for browsers) and `cli` (for operators)
//! are its faces: they parse and render. The crate `gateway-domain` decides and owns the SQL. The faces share
//! `http` and `context`, and never reach into each other. `docs` serves the documentation: it shows the API's
//! document in the console's style.

pub mod api;
pub mod cli;
pub mod config;
pub mod console;
pub mod context;
pub mod docs;
pub mod http;
mod metric_help;
mod start;

pub use api::openapi::document as openapi_document;
pub use start::{Running, endpoints, start, start_with};
