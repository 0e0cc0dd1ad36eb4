//! Bounds the log lines about refused requests: a client that floods must not fill the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one problem code in [`WINDOW`]. The codes are few.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct LogBudget(Mutex<HashMap<&'static str, Written>>);

#[derive(Clone, Copy)]
struct Written {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl LogBudget {
    /// Counts a line. Returns how many lines of this code were left out before it, or `None` if it must be
    /// left out too.
    pub fn take(&self, code: &'static str, now: Instant) -> Option<u64> {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = codes.entry(code).or_insert(Written { since: now, lines: 0, left_out: 0 });
        if now.saturating_duration_since(written.since) >= WINDOW {
            (written.since, written.lines) = (now, 0);
        }
        if written.lines == LINES {
            written.left_out += 1;
            return None;
        }
        written.lines += 1;
        Some(std::mem::take(&mut written.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_code_fills_no_log_and_hides_no_other() {
        let (budget, now) = (LogBudget::default(), Instant::now());
        let lines = (0..1000).filter(|_| budget.take("unauthorized", now) == Some(0)).count();
        assert_eq!(lines, LINES as usize);
        assert_eq!(budget.take("not_found", now), Some(0));
        assert_eq!(budget.take("unauthorized", now + WINDOW), Some(980), "it says how many are missing");
        assert_eq!(budget.take("unauthorized", now + WINDOW), Some(0));
    }
}
