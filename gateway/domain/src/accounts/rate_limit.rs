//! Admission of a request: one statement, committed by itself, finds the key and its user, takes a place in
//! the user's rolling window, and updates `last_used_at` (at most once a minute).
//!
//! The window is exact over all gateways because ON CONFLICT DO UPDATE *without* WHERE locks the row: a
//! refusal returns the locked row too. The time is read after the lock: `now()` precedes the wait for it, and
//! two waiters would both find a free place. A refused request takes no place.

use diesel::QueryableByName;
use diesel::sql_types::{Array, Binary, Bool, Double, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Db, DbError, statement};
use shared::ids::{ApiKeyId, AppId, UserId};

use super::Scopes;

/// Finds the key with the hash `$1` and takes a place. `$2` maps plans to requests per minute.
pub const ADMIT: &str = "
WITH key AS (
    SELECT k.id, k.user_id, k.app_id, k.scopes, k.last_used_at, u.plan, ($2 ->> u.plan)::integer AS places
    FROM api_keys k JOIN users u ON u.id = k.user_id
    WHERE k.sha256 = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > capi_now())
), taken AS (
    INSERT INTO rate_windows AS w (user_id, places, stamps, admitted)
    SELECT user_id, places, ARRAY[capi_now()], true FROM key WHERE places IS NOT NULL
    ON CONFLICT (user_id) DO UPDATE SET places = EXCLUDED.places, (stamps, admitted) = (
        SELECT CASE WHEN cardinality(kept) < EXCLUDED.places THEN kept || at ELSE kept END,
               cardinality(kept) < EXCLUDED.places
        FROM (SELECT capi_now() AS at OFFSET 0) clock,
             LATERAL (
                 SELECT ARRAY(
                     SELECT s FROM unnest(w.stamps) s WHERE s > clock.at - interval '60 s' ORDER BY s) AS kept
                 OFFSET 0) pruned)
    RETURNING places, stamps, admitted
), touched AS (
    UPDATE api_keys k SET last_used_at = capi_now()
    FROM key, taken
    WHERE k.id = key.id AND taken.admitted
      AND (k.last_used_at IS NULL OR k.last_used_at < capi_now() - interval '1 minute')
)
SELECT key.id, key.user_id, key.app_id, key.scopes, key.plan, taken.places, taken.admitted,
    taken.places - cardinality(taken.stamps) AS remaining,
    extract(epoch FROM
        taken.stamps[greatest(1, cardinality(taken.stamps) - taken.places + 1)] + interval '60 s' - capi_now()
    )::double precision AS free_in
FROM key LEFT JOIN taken ON true";

#[derive(QueryableByName)]
struct Row {
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

/// Checks the key with this hash and takes a place. `rates` is [`shared::config::Plans::rates`].
pub async fn admit(db: &Db, sha256: &[u8], rates: &Value) -> Result<Admission, DbError> {
    let found: Option<Row> = db
        .write(|mut conn| async move {
            let rows = statement(ADMIT).bind::<Binary, _>(sha256).bind::<Jsonb, _>(rates).load(&mut conn);
            Ok(rows.await?.pop())
        })
        .await?;
    let Some(row) = found else {
        return Ok(Admission::Unknown);
    };
    let (Some(places), Some(admitted)) = (row.places, row.admitted) else {
        return Ok(Admission::NoPlan(row.plan));
    };
    let window = Window {
        limit: places.unsigned_abs(),
        remaining: u32::try_from(row.remaining.unwrap_or_default()).unwrap_or(0),
        free_in: row.free_in.unwrap_or_default().clamp(0.0, 60.0),
    };
    Ok(if admitted {
        Admission::Admitted {
            key: row.id,
            user: row.user_id,
            app: row.app_id,
            scopes: Scopes::stored(&row.scopes),
            plan: row.plan,
            window,
        }
    } else {
        Admission::Refused(window)
    })
}
