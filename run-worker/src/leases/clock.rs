//! Judges leases when the database's clock jumps.
//!
//! After a jump ahead, all leases look expired until their workers renew them. After a jump back, the leases
//! of dead workers last longer by the jump. So the reaper reads the clock before it takes leases over. After
//! a jump it takes none for one lease time, in which all living workers renew. It also shortens leases that
//! end later than any new one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::sql_types::Interval;
use diesel_async::RunQueryDsl;
use shared::clock::{ClockMove, ClockWatch, read_clock};
use shared::config::LeaseConfig;
use shared::db::{Connection, Db, DbError, interval, statement};

/// The longest lease that a setting allows.
const LONGEST_LEASE: Duration = Duration::from_mins(5);

pub struct LeaseClock {
    config: LeaseConfig,
    state: Mutex<State>,
}

struct State {
    watch: ClockWatch,
    /// Leases that last longer than this must be shortened. At first these are leases that no setting allows:
    /// perhaps no worker lived when the clock jumped back.
    too_long: Option<Duration>,
}

impl LeaseClock {
    /// A jump that is shorter than the margin of a lease harms no lease.
    #[must_use]
    pub fn new(config: LeaseConfig) -> Self {
        let state = State { watch: ClockWatch::new(config.margin()), too_long: Some(LONGEST_LEASE) };
        Self { config, state: Mutex::new(state) }
    }

    /// Reads the database's clock, and shortens leases that are too long. Returns whether the clock jumped
    /// since the last call, so that leases must not be taken over now.
    pub async fn judge(&self, db: &Db) -> Result<bool, DbError> {
        let reading = db.read(|mut conn| async move { read_clock(&mut conn).await }).await?;
        let (moved, too_long) = {
            let mut state = self.lock();
            let moved = state.watch.read(reading);
            if matches!(moved, ClockMove::Back(_)) {
                state.too_long = Some(self.config.lease());
            }
            (moved, state.too_long)
        };
        if let Some(longest) = too_long {
            self.shorten(db, longest).await;
        }
        let (direction, seconds) = match moved {
            ClockMove::None => return Ok(false),
            ClockMove::Ahead(seconds) => ("ahead", seconds),
            ClockMove::Back(seconds) => ("back", seconds),
        };
        metrics::counter!("capi_database_clock_jumps_total", "direction" => direction).increment(1);
        tracing::warn!(
            direction,
            seconds,
            pause_seconds = self.config.lease().as_secs(),
            "the database's clock jumped; taking no leases over for a while"
        );
        Ok(true)
    }

    /// Shortens leases that last longer. A failed call is repeated at the next reading.
    async fn shorten(&self, db: &Db, longest: Duration) {
        let (most, lease) = (longest + self.config.margin(), self.config.lease());
        match db.write(|mut conn| async move { shorten(&mut conn, most, lease).await }).await {
            Ok(runs) => {
                self.lock().too_long = None;
                if runs > 0 {
                    tracing::warn!(runs, "shortened leases that were written before the clock jumped back");
                }
            }
            Err(error) => tracing::warn!(%error, "failed to shorten leases after a jump of the clock"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Workers that live renew their leases with the right time meanwhile, so a locked row needs nothing.
const SHORTEN: &str = "
WITH late AS (
    SELECT id FROM runs WHERE status = 'running' AND lease_expires_at > capi_now() + $1
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE runs r SET lease_expires_at = capi_now() + $2 FROM late WHERE r.id = late.id";

/// Lets leases that would last longer than `longest` end after `lease`. Returns how many there were.
pub async fn shorten(conn: &mut Connection, longest: Duration, lease: Duration) -> Result<usize, DbError> {
    let shortening =
        statement(SHORTEN).bind::<Interval, _>(interval(longest)).bind::<Interval, _>(interval(lease));
    Ok(shortening.execute(conn).await?)
}
