//! Stacks for tests, drills and the bench: a database, queues, a scripted model, and the services as
//! processes, as operators run them. Each stack has its own database and queue prefix.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a stack that cannot be built fails its test"
)]

pub mod accounts;
mod address;
mod answer;
mod artifacts;
mod broker;
mod browser;
mod commands;
pub mod console;
mod deliveries;
pub mod events;
mod family;
pub mod form;
mod front;
mod ports;
mod postgres;
mod process;
mod proxies;
mod requests;
mod samples;
pub mod slow;
mod sql;
mod stack;
mod standby;
mod work_dir;

pub use accounts::{Account, PASSWORD};
pub use address::Gateway;
pub use answer::{Answer, patiently, repeated_while};
pub use broker::PrivateBroker;
pub use browser::{Browser, Cookie, Element, Key};
pub use family::{family_of, parents};
pub use front::{Asked, Fault, Front};
pub use ports::free_ports;
pub use postgres::PrivatePostgres;
pub use process::{Process, Service, bin_dir};
pub use rustix::process::Signal;
pub use samples::deploy;
pub use stack::{MODEL_KEY, Stack};
pub use standby::PrivateStandby;
pub use work_dir::{new_work_dir, processes_of, runs_in};
