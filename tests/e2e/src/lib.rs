//! The services as processes, the way operators run them, for tests and the bench: each stack has a database and a
//! queue prefix of its own, and only the model and the receivers are stood in for.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a stack that cannot be built fails its test"
)]

mod answer;
mod broker;
mod browser;
pub mod console;
pub mod form;
mod ports;
mod postgres;
mod process;
mod proxies;
mod requests;
mod sql;
mod stack;
mod work_dir;

pub use answer::Answer;
pub use broker::PrivateBroker;
pub use browser::{Browser, Cookie, Element, Key};
pub use postgres::PrivatePostgres;
pub use process::{Process, Service, bin_dir};
pub use rustix::process::Signal;
pub use stack::{Account, MODEL_KEY, PASSWORD, Stack};
pub use work_dir::{processes_of, runs_in};
