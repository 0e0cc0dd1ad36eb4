//! What an account uses of its plan's quotas. The creating statement checks them exactly (`runs::insert`);
//! the functions here tell a person or a dry run, and refuse an upload before its bytes are read.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use shared::config::Quotas;
use shared::db::{Db, DbError, statement};
use shared::ids::UserId;

/// Pending runs are counted up to this number, so that a large backlog costs no more.
const MAX_COUNTED_RUNS: i64 = 10_000;

/// A quota that a plan may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    PendingRuns,
    StoredBytes,
    RequestBytesPerDay,
    TokensPerDay,
    /// All versions of apps. Only the app store answers it (`apps::room`).
    AppBytes,
}

impl Quota {
    /// All quotas with their names in SQL and in metrics: those of the plans file, if it has them.
    const ALL: [(Self, &'static str); 5] = [
        (Self::PendingRuns, "max_pending_runs"),
        (Self::StoredBytes, "max_stored_bytes"),
        (Self::RequestBytesPerDay, "max_request_bytes_per_day"),
        (Self::TokensPerDay, "max_tokens_per_day"),
        (Self::AppBytes, "app_bytes"),
    ];

    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(quota, _)| *quota == self).map_or("", |(_, name)| name)
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(quota, _)| *quota)
    }
}

/// A quota that a request would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub quota: Quota,
    /// What the account uses without the request.
    pub used: i64,
    pub limit: i64,
}

/// What a create adds to the use of its account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    pub stored_bytes: u64,
    pub request_bytes: u64,
}

/// The second argument of `account_quota_v1`. Request bytes without a quota are not counted.
pub(crate) fn asked(quotas: &Quotas, more: Asked) -> Value {
    let mut asked = json!(quotas);
    asked["stored_bytes"] = more.stored_bytes.into();
    asked["request_bytes"] = quotas.max_request_bytes_per_day.map(|_| more.request_bytes).into();
    asked
}

/// The columns of `account_quota_v1`: null if the request fits.
#[derive(Debug, QueryableByName)]
pub(crate) struct QuotaRow {
    #[diesel(sql_type = Nullable<Text>)]
    quota: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    used: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    cap: Option<i64>,
}

impl QuotaRow {
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        let quota = Quota::of_name(self.quota.as_deref()?)?;
        Some(Exceeded { quota, used: self.used?, limit: self.cap? })
    }
}

/// The first quota that a request would exceed now.
pub async fn check(db: &Db, user: UserId, quotas: &Quotas, more: Asked) -> Result<Option<Exceeded>, DbError> {
    if !quotas.is_any() {
        return Ok(None);
    }
    let asked = &asked(quotas, more);
    db.write(|mut conn| async move {
        let row: QuotaRow = statement("SELECT quota, used, cap FROM account_quota_v1($1, $2)")
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Jsonb, _>(asked)
            .get_result(&mut conn)
            .await?;
        Ok(row.exceeded())
    })
    .await
}

/// What an account uses now.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct AccountUse {
    /// Up to 10,000.
    #[diesel(sql_type = BigInt)]
    pub pending_runs: i64,
    /// Bytes of input files and artifacts.
    #[diesel(sql_type = BigInt)]
    pub stored_bytes: i64,
    /// Counted while the plan has a quota for it.
    #[diesel(sql_type = BigInt)]
    pub request_bytes: i64,
    /// Counted while the plan has a quota for it.
    #[diesel(sql_type = BigInt)]
    pub tokens: i64,
}

const USE: &str = "
SELECT (SELECT count(*) FROM (
            SELECT 1 FROM runs r WHERE r.user_id = $1 AND r.status = 'pending' LIMIT $2) counted
       ) AS pending_runs,
       coalesce(u.stored_bytes, stored_bytes_v1($1)) AS stored_bytes,
       CASE WHEN u.day = today.day THEN u.request_bytes ELSE 0 END AS request_bytes,
       CASE WHEN u.day = today.day THEN u.tokens ELSE 0 END AS tokens
FROM (SELECT (capi_now() AT TIME ZONE 'UTC')::date AS day) today LEFT JOIN account_use u ON u.user_id = $1";

/// What the account uses now.
pub async fn account_use(db: &Db, user: UserId) -> Result<AccountUse, DbError> {
    db.write(|mut conn| async move {
        Ok(statement(USE)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<BigInt, _>(MAX_COUNTED_RUNS)
            .get_result(&mut conn)
            .await?)
    })
    .await
}
