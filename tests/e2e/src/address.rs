//! Where a gateway answers.

use crate::process::Process;

/// A gateway that tests send requests to: a process, or one that runs inside the test's process.
pub trait Gateway {
    /// `http://ADDRESS:PORT` of its API.
    fn url(&self) -> String;
}

impl Gateway for Process {
    fn url(&self) -> String {
        Self::url(self)
    }
}
