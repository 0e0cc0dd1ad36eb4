//! The leases of a worker: how a run becomes this worker's, stays so, and is given up.
//!
//! `store` and `append` hold the statements (`claim` and `take_over_sql` those that take runs), `held` the
//! leases that this process has now. `heartbeat` renews them, `takeover` takes expired ones over, `release`
//! ends them early, and `in_doubt` ends those of a claim whose answer was lost. `presence` and `broadcasts`
//! connect the worker with other processes. `isolation` tells a run that kills workers from its neighbours.
//! `neighbours` ends the leases of dead workers of this machine, `clock` notices when the database's clock
//! jumps, and `elsewhere` gives back what this worker cannot execute.

pub mod append;
pub mod broadcasts;
mod claim;
pub mod clock;
pub mod elsewhere;
pub mod heartbeat;
pub mod held;
pub mod in_doubt;
pub mod isolation;
pub mod neighbours;
pub mod presence;
pub mod release;
pub mod store;
mod take_over_sql;
pub mod takeover;

use shared::config::LeaseConfig;
use shared::db::Db;
use shared::ids::RunId;
use shared::lifecycle::Lifecycle;
use shared::queue::{Broadcast, Publisher};
use shared::runs::Fence;
use tokio::sync::watch;

use crate::watched::Watched;
use elsewhere::Elsewhere;
use held::HeldLeases;
use isolation::Isolation;
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
    pub isolation: Isolation,
    /// The runs that this worker gave back because it cannot execute them.
    pub elsewhere: Elsewhere,
    /// The runs that streams show.
    pub watched: Watched,
    /// Counts the requests to poll for takeovers before the interval is over. Each poller has its own
    /// receiver.
    pub poll_requests: watch::Sender<u64>,
    pub lifecycle: Lifecycle,
}

impl LeaseContext {
    /// Requests a poll for takeovers at once, because a lease may be free.
    pub fn request_poll(&self) {
        self.poll_requests.send_modify(|number| *number += 1);
    }

    /// Tells the streams of the run that it has a new event.
    pub fn tell_streams(&self, run: RunId) {
        if self.watched.wants_events(run) {
            self.publisher.broadcast(Broadcast::RunChanged(run));
        }
    }

    /// A suspect recorded a step, ended, or lived for a while, so this worker may take the next one.
    pub fn cleared(&self, fence: Fence) {
        self.isolation.end(fence);
        self.request_poll();
    }
}
