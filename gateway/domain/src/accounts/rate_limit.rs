//! Admission of requests: one statement, committed by itself, finds the keys and their users, takes places in
//! the users' rolling windows, and updates `last_used_at` (at most once a minute).
//!
//! `admit_keys_v1` (shared/migrations/00000000000026_admission_sets) is the statement. It says how a window
//! is exact over all gateways. A refused request takes no place.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Array, Binary, Bool, Double, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Db, DbError, statement};
use shared::ids::{ApiKeyId, AppId, UserId};

use super::{KeyHash, Scopes};

/// `$2` maps plans to requests per minute.
const ADMIT: &str = "
SELECT n, id, user_id, app_id, scopes, plan, places, done, admitted, remaining, free_in
FROM admit_keys_v1($1, $2, $3)";

/// The outcome of the request `n`, counted from 1. A request whose key is unknown has no row.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Integer)]
    n: i32,
    #[diesel(sql_type = SqlUuid)]
    id: ApiKeyId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    app_id: Option<AppId>,
    #[diesel(sql_type = Array<Text>)]
    scopes: Vec<String>,
    #[diesel(sql_type = Text)]
    plan: String,
    #[diesel(sql_type = Nullable<Integer>)]
    places: Option<i32>,
    /// False if another transaction has locked the window.
    #[diesel(sql_type = Bool)]
    done: bool,
    #[diesel(sql_type = Nullable<Bool>)]
    admitted: Option<bool>,
    #[diesel(sql_type = Nullable<Integer>)]
    remaining: Option<i32>,
    #[diesel(sql_type = Nullable<Double>)]
    free_in: Option<f64>,
}

/// The user's rolling window after this request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Requests per minute.
    pub limit: u32,
    /// Free places.
    pub remaining: u32,
    /// Seconds until one more place is free, 0 to 60.
    pub free_in: f64,
}

impl Window {
    /// Whole seconds after which a refused client is admitted: never too few.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.whole_seconds().max(1)
    }

    /// Seconds until one more place is free, rounded up.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 60 by the clamp")]
    pub fn whole_seconds(&self) -> u64 {
        self.free_in.ceil().clamp(0.0, 60.0) as u64
    }
}

/// The outcome of a key.
#[derive(Debug)]
pub enum Admission {
    /// The key is unknown, revoked or expired; clients must not learn which.
    Unknown,
    /// The account's plan, which does not include the API.
    NoPlan(String),
    Refused(Window),
    Admitted {
        key: ApiKeyId,
        user: UserId,
        /// The one app that the key may see, if it is scoped.
        app: Option<AppId>,
        scopes: Scopes,
        plan: String,
        window: Window,
    },
}

/// Checks the keys with these hashes, one for each request, and takes a place for each. `rates` is
/// [`shared::config::Plans::rates`].
///
/// A window that another transaction has locked is waited for as long as `wait` says, and then the call
/// fails. With zero its requests are not done: `None`.
pub async fn admit(
    db: &Db,
    keys: &[KeyHash],
    rates: &Value,
    wait: Duration,
) -> Result<Vec<Option<Admission>>, DbError> {
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let rows: Vec<Row> = db
        .write(|mut conn| async move {
            let admitting = statement(ADMIT).bind::<Array<Binary>, _>(keys).bind::<Jsonb, _>(rates);
            Ok(admitting.bind::<Integer, _>(wait).load(&mut conn).await?)
        })
        .await?;
    let mut outcomes: Vec<_> = keys.iter().map(|_| Some(Admission::Unknown)).collect();
    for row in rows {
        if let Some(outcome) = usize::try_from(row.n - 1).ok().and_then(|at| outcomes.get_mut(at)) {
            *outcome = row.outcome();
        }
    }
    Ok(outcomes)
}

impl Row {
    fn outcome(self) -> Option<Admission> {
        if !self.done {
            return None;
        }
        let (Some(places), Some(admitted)) = (self.places, self.admitted) else {
            return Some(Admission::NoPlan(self.plan));
        };
        let window = Window {
            limit: places.unsigned_abs(),
            remaining: u32::try_from(self.remaining.unwrap_or_default()).unwrap_or(0),
            free_in: self.free_in.unwrap_or_default().clamp(0.0, 60.0),
        };
        Some(if admitted {
            Admission::Admitted {
                key: self.id,
                user: self.user_id,
                app: self.app_id,
                scopes: Scopes::stored(&self.scopes),
                plan: self.plan,
                window,
            }
        } else {
            Admission::Refused(window)
        })
    }
}

#[cfg(test)]
mod tests;
