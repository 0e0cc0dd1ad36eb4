//! The fence of a run: what a worker must still hold, so that its write counts.

use uuid::Uuid;

use crate::ids::RunId;

/// A worker that was suspended for longer than its lease still believes that it holds the run. Every write
/// therefore carries its fence. A takeover changes `attempt` and `claim`, and a cancel changes the status, so
/// a stale write matches no row. After a failover that lost transactions two workers may have the same
/// attempt, but never the same claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    pub run: RunId,
    pub attempt: i32,
    /// Unique for each claim and each takeover: `runs.lease_claim`.
    pub claim: Uuid,
}
