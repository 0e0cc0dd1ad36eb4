//! How slowly a form may arrive. A client has 15 seconds of credit. Waiting for its bytes uses credit up, and
//! each 64 KiB earn a second back. The time that the store takes does not count.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes a second.
const RATE: u32 = 64 << 10;
const CREDIT: Duration = Duration::from_secs(15);

pub(super) struct Pace {
    credit: Duration,
    waiting_since: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) fn begin() -> Self {
        Self { credit: CREDIT, waiting_since: Instant::now(), bytes: 0 }
    }

    /// When the next bytes must have arrived. Waiting starts now.
    pub(super) fn deadline(&mut self) -> Instant {
        self.waiting_since = Instant::now();
        self.waiting_since + self.credit
    }

    /// All received bytes.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the waiting.
    pub(super) fn waited(&mut self) {
        self.credit = self.credit.saturating_sub(self.waiting_since.elapsed());
    }

    /// Earns credit for received bytes.
    pub(super) fn received(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let earned = Duration::from_secs(1).mul_f64(u32::try_from(bytes).unwrap_or(u32::MAX).into()) / RATE;
        self.credit = (self.credit + earned).min(CREDIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_senders_run_out_of_credit_and_fast_ones_never_do() {
        let cut_after = async |bytes: usize, every: Duration| {
            let (begun, mut pace) = (Instant::now(), Pace::begin());
            while begun.elapsed() < Duration::from_mins(2) {
                let came = tokio::time::timeout_at(pace.deadline(), tokio::time::sleep(every)).await;
                pace.waited();
                if came.is_err() {
                    return Some(begun.elapsed().as_secs());
                }
                pace.received(bytes);
            }
            None
        };
        let second = Duration::from_secs(1);
        assert_eq!(cut_after(0, second * 60).await, Some(15));
        assert_eq!(cut_after(1, second).await, Some(15));
        assert!((28..=30).contains(&cut_after(32 << 10, second).await.unwrap()));
        assert_eq!(cut_after(65 << 10, second).await, None);
    }
}
