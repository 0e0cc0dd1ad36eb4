//! What a drill found, as a line of the table.

use std::fmt::Write;
use std::time::Duration;

pub(crate) struct Report {
    /// The drill, and the bar that it shows.
    pub(crate) name: String,
    /// Creates that were answered 202.
    pub(crate) accepted: usize,
    /// Of those, runs that are over.
    pub(crate) terminal: usize,
    /// Of those, runs that are not there, or not over in time.
    pub(crate) lost: usize,
    /// Runs too many, and runs that ended more than once.
    pub(crate) doubled: usize,
    /// How often something was broken.
    pub(crate) faults: usize,
    /// How long it took to be whole again, each time.
    pub(crate) recoveries: Vec<Duration>,
    /// How long it may take.
    pub(crate) within: Duration,
    /// Worth telling.
    pub(crate) notes: Vec<String>,
    /// What was not as it should be.
    pub(crate) misses: Vec<String>,
}

impl Report {
    /// Nothing found yet.
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

    /// Of a drill that could not go on; why is on standard error.
    pub(crate) fn broken_off(drill: impl std::fmt::Debug) -> Self {
        let mut report = Self::new("", Duration::ZERO);
        report.name = format!("{drill:?}, broken off");
        report.misses.push("the drill was broken off".to_owned());
        report
    }

    /// Notes a miss unless this holds.
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
            // Nothing that was broken and mended shows nothing.
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
        "| drill | faults | accepted | terminal | lost | doubled | recovery median | maximum | bar | |\n| \
         --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
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
