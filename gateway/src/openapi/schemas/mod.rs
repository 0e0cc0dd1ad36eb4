//! The shapes of the contract, for its document alone: the views themselves are JSON that SQL and the handlers build. The
//! fuzzer and the tests hold each answer against them.
#![expect(dead_code, reason = "shapes; nothing is ever made of them")]

mod account;
mod common;
mod create;
mod run;

pub use account::*;
pub use common::*;
pub use create::*;
pub use run::*;
