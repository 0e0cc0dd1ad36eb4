//! Takes deliveries of lanes: one claim for all of them, and one statement that loads the runs for their
//! bodies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shared::batch::SetCall;
use shared::db::{Db, DbError};
use shared::ids::{LaneId, RunId};
use shared::queue::{Publisher, WorkQueue};
use shared::runs::{RunView, Viewer};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::answering::Answering;
use crate::claims::{Claimed, Claims, claim, give_back};
use crate::shares::{Offer, Share, Shares};

/// Time until a claim that was given back is due again.
const GIVE_BACK_WAIT: Duration = Duration::from_secs(5);

/// The run of a delivery.
pub enum LoadedRun {
    /// A test has no run, and a run may be deleted.
    Missing,
    Run(Box<RunView>),
    /// A fault of capi, which the log names.
    Unreadable,
}

/// A delivery under a lease of this dispatcher, with its run.
pub struct Leased {
    pub claimed: Claimed,
    pub run: LoadedRun,
    /// Not later than the start of the lease.
    pub since: Instant,
    /// Holds a permit for the user.
    pub share: Share,
}

pub struct Taken {
    pub deliveries: Vec<Leased>,
    /// Lanes with room for due deliveries that got no place.
    pub more: Vec<LaneId>,
    /// Lanes that another transaction had locked.
    pub locked: Vec<LaneId>,
}

/// Takes deliveries for this process.
pub struct Taker {
    pub db: Db,
    pub publisher: Publisher,
    /// Renders a run as the API shows it.
    pub viewer: Viewer,
    pub shares: Arc<Shares>,
    pub answering: Answering,
    /// Held from an offer until its claim's deliveries hold their permits. Otherwise two claims would offer
    /// the same permits, and a user could get its half twice.
    pub claiming: Mutex<()>,
    /// The name of this process in leases and logs.
    pub dispatcher: String,
}

impl Taker {
    /// At most `places` deliveries of these lanes. With `wait` the claim waits for locked lanes, beside the
    /// other claims. If the runs cannot be loaded now, all deliveries are given back.
    pub async fn take(&self, lanes: &[LaneId], places: usize, wait: bool) -> Result<Taken, DbError> {
        let turn = if wait { None } else { Some(self.claiming.lock().await) };
        // Before the claim: the database starts the lease at some later moment.
        let since = Instant::now();
        let offer = &Offer { answering: Some(self.answering.of(lanes)), ..self.shares.offer() };
        let claiming = self.db.write(|mut conn| async move {
            claim(&mut conn, &self.dispatcher, lanes, offer, places, wait).await
        });
        let Claims { claimed, more, locked } = claiming.await?;
        // Before the runs are loaded: the next claim must count these deliveries.
        let hold =
            |claimed: &Claimed| self.shares.hold(claimed.user_id, claimed.lane_id, claimed.is_doubtful());
        let shares: Vec<_> = claimed.iter().map(hold).collect();
        drop(turn);
        let ids: Vec<_> = claimed.iter().filter_map(|claimed| claimed.run_id).collect();
        let mut runs = match self.load(&ids).await {
            Ok(runs) => runs,
            Err(error) => {
                let deliveries = claimed.len();
                tracing::warn!(%error, deliveries, "webhooks not sent: the database does not answer");
                self.give_back(&claimed.iter().collect::<Vec<_>>()).await;
                return Ok(Taken { deliveries: Vec::new(), more, locked });
            }
        };
        let deliveries = claimed.into_iter().zip(shares).map(|(claimed, share)| {
            let run = claimed.run_id.and_then(|run| runs.get_mut(&run)?.pop()).unwrap_or(LoadedRun::Missing);
            Leased { claimed, run, since, share }
        });
        Ok(Taken { deliveries: deliveries.collect(), more, locked })
    }

    /// The runs by their ids, as often as each is wanted. Fails only if the database is away or overloaded.
    /// If PostgreSQL refuses the statement, or a row has an unexpected value, only that run is unreadable.
    async fn load(&self, ids: &[RunId]) -> Result<HashMap<RunId, Vec<LoadedRun>>, DbError> {
        let mut runs: HashMap<_, Vec<_>> = HashMap::new();
        if ids.is_empty() {
            return Ok(runs);
        }
        match self.load_set(ids).await {
            Ok(found) => {
                for run in found {
                    runs.entry(run.id).or_default().push(LoadedRun::Run(Box::new(run)));
                }
                return Ok(runs);
            }
            Err(error) if error.is_outage() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, runs = ids.len(), "failed to load runs; loading them one by one");
            }
        }
        for id in ids {
            match self.load_set(&[*id]).await {
                Ok(found) => {
                    let found = found.into_iter().map(|run| LoadedRun::Run(Box::new(run)));
                    runs.entry(*id).or_default().extend(found);
                }
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => {
                    tracing::error!(%error, run_id = %id, "webhook not sent: failed to load the run");
                    runs.entry(*id).or_default().push(LoadedRun::Unreadable);
                }
            }
        }
        Ok(runs)
    }

    async fn load_set(&self, ids: &[RunId]) -> Result<Vec<RunView>, DbError> {
        self.db.read(|mut conn| async move { self.viewer.load_for_webhooks(&mut conn, ids).await }).await
    }

    /// Gives back claims for which nothing was sent.
    pub async fn give_back(&self, claims: &[&Claimed]) {
        let number = u64::try_from(claims.len()).unwrap_or(u64::MAX);
        metrics::counter!("capi_webhook_deliveries_given_back_total").increment(number);
        let giving =
            self.db.write(|mut conn| async move { give_back(&mut conn, claims, GIVE_BACK_WAIT).await });
        if let Err(error) = giving.await {
            let deliveries = number;
            tracing::warn!(%error, deliveries, "failed to give claims back; their leases will expire");
        }
    }
}

/// Permits whose deliveries are over take the next ones of their lanes, with one claim for all permits that
/// are there at the same time. A permit serves any of these lanes.
pub struct TakingNext(pub Arc<Taker>);

impl SetCall for TakingNext {
    type Item = LaneId;
    /// `None`: no work.
    type Answer = Option<Leased>;

    async fn together(&self, lanes: &[LaneId]) -> Result<Vec<Option<Self::Answer>>, DbError> {
        let mut distinct = lanes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let taken = self.0.take(&distinct, lanes.len(), false).await?;
        self.nudge(&taken.more);
        let (mut deliveries, mut locked) = (taken.deliveries.into_iter(), taken.locked);
        // One permit waits for a locked lane. The others are free meanwhile.
        let mut waits = |lane: &LaneId| {
            let place = locked.iter().position(|other| other == lane);
            if let Some(place) = place {
                locked.swap_remove(place);
            }
            place.is_some()
        };
        let answers = lanes.iter().map(|lane| match (deliveries.next(), waits(lane)) {
            (Some(next), is_locked) => {
                // The permit has work, but its lane may have more.
                if is_locked {
                    self.nudge(&[*lane]);
                }
                Some(Some(next))
            }
            (None, true) => None,
            (None, false) => Some(None),
        });
        Ok(answers.collect())
    }

    async fn alone(&self, lane: &LaneId) -> Result<Self::Answer, DbError> {
        let mut taken = self.0.take(&[*lane], 1, true).await?;
        self.nudge(&taken.more);
        Ok(taken.deliveries.pop())
    }
}

impl TakingNext {
    fn nudge(&self, lanes: &[LaneId]) {
        for lane in lanes {
            self.0.publisher.nudge(WorkQueue::Deliveries, lane.uuid());
        }
    }
}
