//! The pages, a folder for each part of the console.

pub(crate) mod account;
pub(crate) mod app;
pub(crate) mod apps;
pub(crate) mod run;
pub(crate) mod sign_in;
