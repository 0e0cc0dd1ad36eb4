//! The leases of a worker: how a run becomes this worker's, stays so, and is given up.
//!
//! `store` and `append` hold the statements, `held` the leases that this process has now. `heartbeat` renews
//! them, `takeover` takes expired ones over, `release` ends them early. `presence` and `broadcasts` connect
//! the worker with other processes.

pub mod append;
pub mod broadcasts;
pub mod heartbeat;
pub mod held;
pub mod presence;
pub mod release;
pub mod store;
pub mod takeover;

use shared::config::LeaseConfig;
use shared::db::Db;
use shared::lifecycle::Lifecycle;
use shared::queue::Publisher;

use held::HeldLeases;
use store::Claimant;

/// What the tasks around the leases share.
pub struct LeaseContext {
    pub db: Db,
    /// Separate connections for renewals and pings: the statements of thousands of runs must not delay them.
    pub lease_db: Db,
    pub publisher: Publisher,
    pub claimant: Claimant,
    pub config: LeaseConfig,
    pub held: HeldLeases,
    pub lifecycle: Lifecycle,
}
