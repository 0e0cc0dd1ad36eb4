//! How many requests one run may send in a minute. A page can make a model fetch again and again, and a host
//! must not suffer from it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_mins(1);
/// To one host. More than a person clicks, and few enough that no site notices.
pub(super) const PER_HOST: usize = 30;
/// To all hosts together: eight calls at once, a few times a minute, each with redirects.
pub(super) const IN_ALL: usize = 120;

/// The requests of the last minute. The caller bounds the number of hosts.
#[derive(Default)]
pub(super) struct Rate {
    hosts: HashMap<String, VecDeque<Instant>>,
    all: VecDeque<Instant>,
}

impl Rate {
    /// Counts a request, or says when the next one is possible.
    pub(super) fn take(&mut self, host: &str, now: Instant) -> Result<(), String> {
        if let Some(wait) = wait(&mut self.all, IN_ALL, now) {
            return Err(sentence(IN_ALL, "in all", wait));
        }
        let of_host = self.hosts.entry(host.to_owned()).or_default();
        if let Some(wait) = wait(of_host, PER_HOST, now) {
            return Err(sentence(PER_HOST, &format!("to {host}"), wait));
        }
        of_host.push_back(now);
        self.all.push_back(now);
        Ok(())
    }
}

/// The time until one more request is possible, if there were `most` in the window.
fn wait(stamps: &mut VecDeque<Instant>, most: usize, now: Instant) -> Option<Duration> {
    while stamps.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
        stamps.pop_front();
    }
    let first = stamps.front().filter(|_| stamps.len() >= most)?;
    Some(WINDOW.saturating_sub(now.duration_since(*first)))
}

fn sentence(most: usize, to: &str, wait: Duration) -> String {
    format!(
        "A run may send {most} requests {to} in a minute, redirects included. Try again in {} s, or answer \
         with what you have.",
        wait.as_secs() + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_and_all_together_have_a_rate() {
        let (mut rate, begun) = (Rate::default(), Instant::now());
        let taken = (0..100).filter(|_| rate.take("a", begun).is_ok()).count();
        assert_eq!(taken, PER_HOST);
        let why = rate.take("a", begun + Duration::from_secs(18)).unwrap_err();
        assert!(why.contains("30 requests to a") && why.contains("in 43 s"), "{why}");
        let taken = (0..1000).filter(|n| rate.take(&format!("b{}", n % 50), begun).is_ok()).count();
        assert_eq!(taken, IN_ALL - PER_HOST, "a refused request does not count");
        assert!(rate.take("c", begun).unwrap_err().contains("120 requests in all"));
        let later = begun + WINDOW;
        assert_eq!((0..100).filter(|_| rate.take("a", later).is_ok()).count(), PER_HOST);
    }
}
