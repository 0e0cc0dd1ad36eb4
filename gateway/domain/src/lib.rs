//! What the gateway decides and stores: runs, apps, accounts and artifacts.
//!
//! This crate knows no HTTP: no status codes, no headers, no pages. The API, the console and the commands
//! call the same functions and render what they return. Public functions take `&Db` and hold a connection
//! only for one statement or one transaction.

pub mod accounts;
pub mod apps;
pub mod artifacts;
pub mod deliveries;
mod error;
mod field_error;
mod one_line;
pub mod page;
pub mod runs;
mod strict_json;
pub mod suggestion;

pub use error::{Refusal, StoreError};
pub use field_error::{FieldError, Location, MAX_FIELD_ERRORS, joined, quoted};
pub use strict_json::json_value;
