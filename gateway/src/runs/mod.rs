//! The run endpoints, one a file.

pub mod create;
pub mod get;
mod request;
