//! Pages that read many rows of an account. They have a pool of their own, and an account has one at a time.
//! So they delay no request of others.

use shared::config::DatabaseConfig;
use shared::db::Db;
use shared::ids::UserId;

use super::{InFlight, InFlightShare, TooMuchInFlight};

const CONNECTIONS: usize = 2;

pub struct Reports {
    db: Db,
    open: InFlight,
}

/// One report. Dropping it makes room for another one of its account.
pub struct Report<'r> {
    db: &'r Db,
    _share: InFlightShare,
}

impl Reports {
    /// Must be called on the main runtime, like [`Db::new`].
    pub fn new(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let small = DatabaseConfig { pool_size: CONNECTIONS, ..config.clone() };
        Ok(Self { db: Db::new(&small, "capi-gateway-reports")?.patient(), open: InFlight::reports() })
    }

    /// Begins a report. Fails if the account has an open one, or if too many accounts do.
    pub fn begin(&self, user: UserId) -> Result<Report<'_>, TooMuchInFlight> {
        Ok(Report { _share: self.open.take(user, 1)?, db: &self.db })
    }
}

impl Report<'_> {
    /// The pool of all reports. Use it only while this report is open.
    #[must_use]
    pub const fn db(&self) -> &Db {
        self.db
    }
}
