//! One statement per authenticated request, committed by itself: find key and user, take a place in the user's
//! rolling window, move last_used_at (at most once a minute).
//!
//! The window is exact over all gateways because the row is locked by ON CONFLICT DO UPDATE *without* WHERE: a
//! refusal too returns the locked row. The stamp is taken there and not before: `now()` precedes the wait for the
//! lock, and two waiters would both find room. A refused request takes no place.

use diesel::QueryableByName;
use diesel::sql_types::{Binary, Bool, Double, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Connection, DbError, statement};
use shared::ids::{ApiKeyId, AppId, UserId};

/// Finds the key of hash `$1`, and takes a place at the rates `$2`.
pub const ADMIT: &str = "
WITH key AS (
    SELECT k.id, k.user_id, k.app_id, k.last_used_at, u.plan, ($2 ->> u.plan)::integer AS places
    FROM api_keys k JOIN users u ON u.id = k.user_id
    WHERE k.sha256 = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > capi_now())
), taken AS (
    INSERT INTO rate_windows AS w (user_id, places, stamps, admitted)
    SELECT user_id, places, ARRAY[capi_now()], true FROM key WHERE places IS NOT NULL
    ON CONFLICT (user_id) DO UPDATE SET places = EXCLUDED.places, (stamps, admitted) = (
        SELECT CASE WHEN cardinality(kept) < EXCLUDED.places THEN kept || at ELSE kept END,
               cardinality(kept) < EXCLUDED.places
        FROM (SELECT capi_now() AS at OFFSET 0) clock,
             LATERAL (SELECT ARRAY(SELECT s FROM unnest(w.stamps) s WHERE s > clock.at - interval '60 s' ORDER BY s) AS kept OFFSET 0) pruned)
    RETURNING places, stamps, admitted
), touched AS (
    UPDATE api_keys k SET last_used_at = capi_now()
    FROM key, taken
    WHERE k.id = key.id AND taken.admitted AND (k.last_used_at IS NULL OR k.last_used_at < capi_now() - interval '1 minute')
)
SELECT key.id, key.user_id, key.app_id, key.plan, taken.places, taken.admitted,
    taken.places - cardinality(taken.stamps) AS remaining,
    extract(epoch FROM taken.stamps[greatest(1, cardinality(taken.stamps) - taken.places + 1)] + interval '60 s' - capi_now())::double precision AS free_in
FROM key LEFT JOIN taken ON true";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: ApiKeyId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    app_id: Option<AppId>,
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
    /// Whole seconds after which a refused caller gets in: never too few.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.whole_seconds().max(1)
    }

    /// As the RateLimit header fields say it (draft-ietf-httpapi-ratelimit-headers).
    #[must_use]
    pub fn headers(&self) -> [(&'static str, String); 2] {
        [
            ("ratelimit-policy", format!(r#""user";q={};w=60"#, self.limit)),
            ("ratelimit", format!(r#""user";r={};t={}"#, self.remaining, self.whole_seconds())),
        ]
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 60 by the clamp")]
    fn whole_seconds(&self) -> u64 {
        self.free_in.ceil().clamp(0.0, 60.0) as u64
    }
}

/// What came of a key.
#[derive(Debug)]
pub enum Admission {
    /// Unknown, revoked or expired: not told apart.
    Unknown,
    /// The account's plan does not include the API.
    NoPlan(String),
    /// The window is full.
    Refused(Window),
    /// Welcome.
    Admitted {
        /// Which key.
        key: ApiKeyId,
        /// Whose.
        user: UserId,
        /// The one app it may see, where it is scoped.
        app: Option<AppId>,
        /// The window.
        window: Window,
    },
}

/// Checks the key with this hash and takes a place. `rates` is `Plans::rates`.
pub async fn admit(conn: &mut Connection, sha256: &[u8], rates: &Value) -> Result<Admission, DbError> {
    let found: Option<Row> =
        statement(ADMIT).bind::<Binary, _>(sha256).bind::<Jsonb, _>(rates).load(conn).await?.pop();
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
        Admission::Admitted { key: row.id, user: row.user_id, app: row.app_id, window }
    } else {
        Admission::Refused(window)
    })
}
