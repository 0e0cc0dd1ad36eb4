//! The result of a drill: one line of the table.

use std::fmt::Write;
use std::time::Duration;

pub(crate) struct Report {
    /// The drill, and the bar that it shows.
    pub(crate) name: String,
    /// The number of creates that were answered 202.
    pub(crate) accepted: usize,
    /// How many of these runs are over.
    pub(crate) terminal: usize,
    /// How many of these runs are missing or did not end in time.
    pub(crate) lost: usize,
    /// Runs that no create was answered with, and runs that ended more than once.
    pub(crate) doubled: usize,
    /// The number of injected faults.
    pub(crate) faults: usize,
    /// The time of each recovery.
    pub(crate) recoveries: Vec<Duration>,
    /// The bar for each recovery.
    pub(crate) within: Duration,
    pub(crate) notes: Vec<String>,
    /// Unmet requirements.
    pub(crate) misses: Vec<String>,
}

impl Report {
    pub(crate) fn new(name: &str, within: Duration) -> Self {
        Self {
            name: name.to_owned(),
            accepted: 0,
            terminal: 0,
            lost: 0,
            doubled: 0,
            faults: 0,
            recoveries: Vec::new(),
            within,
            notes: Vec::new(),
            misses: Vec::new(),
        }
    }

    /// The report of a drill without an end.
    pub(crate) fn failed(drill: impl std::fmt::Debug, why: String) -> Self {
        let mut report = Self::new("", Duration::ZERO);
        report.name = format!("{drill:?}, failed");
        report.misses.push(why);
        report
    }

    /// Adds a miss unless `holds`.
    pub(crate) fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.misses.push(otherwise());
        }
    }

    fn slowest(&self) -> Duration {
        self.recoveries.iter().max().copied().unwrap_or_default()
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.lost > 0
            || self.doubled > 0
            || self.terminal < self.accepted
            || self.slowest() > self.within
            // A drill without a recovery proves nothing.
            || (self.faults > 0 && self.recoveries.is_empty())
            || !self.misses.is_empty()
    }

    /// Notes and misses, one a line.
    pub(crate) fn details(&self) -> String {
        let mut lines = String::new();
        for note in &self.notes {
            let _ = write!(lines, "\n    {note}");
        }
        for miss in &self.misses {
            let _ = write!(lines, "\n    MISS: {miss}");
        }
        lines
    }
}

/// The table, in Markdown.
pub(crate) fn table(reports: &[Report]) -> String {
    let mut table = String::from(
        "| drill | faults | accepted | terminal | lost | doubled | recovery median | maximum | bar | |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    );
    for report in reports {
        let mut sorted = report.recoveries.clone();
        sorted.sort();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        let _ = write!(
            table,
            "\n| {} | {} | {} | {} | {} | {} | {:.2} s | {:.2} s | {:.1} s | {} |",
            report.name,
            report.faults,
            report.accepted,
            report.terminal,
            report.lost,
            report.doubled,
            median.as_secs_f64(),
            report.slowest().as_secs_f64(),
            report.within.as_secs_f64(),
            if report.is_missed() { "MISSED" } else { "held" },
        );
    }
    table
}
