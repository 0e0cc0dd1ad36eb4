//! A delivery with its attempts.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use serde::Deserialize;
use shared::db::Json;
use shared::ids::{DeliveryId, RunId};
use shared::time::Time;

use crate::page::Position;

/// The latest attempts that are shown. One schedule has ten; sending again starts another one.
pub(super) const SHOWN_ATTEMPTS: i64 = 20;

/// A delivery of an event of a run.
#[derive(Debug, Clone, QueryableByName)]
pub struct Delivery {
    #[diesel(sql_type = SqlUuid)]
    pub id: DeliveryId,
    #[diesel(sql_type = SqlUuid)]
    pub run_id: RunId,
    #[diesel(sql_type = Text)]
    pub r#type: String,
    #[diesel(sql_type = Text)]
    pub url: String,
    /// One that only a later version knows is shown as it is.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// When the next attempt is due.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub next_attempt_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// A dispatcher works on an attempt.
    #[diesel(sql_type = Bool)]
    pub in_flight: bool,
    /// The latest ones, oldest first.
    #[diesel(sql_type = Array<Jsonb>)]
    pub attempts: Vec<Json<Attempt>>,
}

impl Delivery {
    #[must_use]
    pub fn position(&self) -> Position {
        Position { at: self.created_at, id: self.id.uuid() }
    }
}

/// One request, or one that could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub number: i32,
    pub at: Time,
    pub duration_ms: i32,
    pub status_code: Option<i32>,
    /// The code of the error. `None` means that the receiver took the webhook.
    pub error: Option<String>,
    /// A sentence beside the code.
    pub error_message: Option<String>,
    /// The beginning of the answer. `None` in lists, and if the answer came from an internal network.
    pub response_body: Option<String>,
}

/// The columns of a [`Delivery`] from `webhook_deliveries d`. `$1` is [`SHOWN_ATTEMPTS`], `$2` is whether
/// bodies are shown.
macro_rules! shape_sql {
    () => {
        "SELECT d.id, coalesce(d.run_id, d.event_run_id) AS run_id, d.type, d.url, d.status,
    webhook_next_attempt_v1(d.lane_id, coalesce(d.due_at, d.next_attempt_at),
        webhook_sent_again_v1(d.scheduled_at, d.attempt, d.earlier_attempts)) AS next_attempt_at,
    d.created_at,
    coalesce(d.lease_expires_at > capi_now(), false) AS in_flight,
    coalesce(tried.attempts, ARRAY[]::jsonb[]) AS attempts
FROM webhook_deliveries d
LEFT JOIN LATERAL (
    SELECT array_agg(jsonb_build_object('number', a.number, 'durationMs', a.duration_ms,
        'at', to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
        'statusCode', a.status_code, 'errorMessage', a.error,
        'error', webhook_error_code_v1(a.error_code, a.error, a.status_code),
        'responseBody', CASE WHEN $2 THEN a.response_body END) ORDER BY a.number) AS attempts
    FROM (SELECT x.* FROM webhook_attempts x WHERE x.delivery_id = d.id
          ORDER BY x.number DESC LIMIT $1) a) tried ON true
WHERE d.type <> 'ping' AND "
    };
}

/// Limits one delivery `d` to the runs of the app in this bind, if it is not null.
macro_rules! of_app {
    ($app:literal) => {
        concat!("(", $app, " IS NULL OR d.app_id = ", $app, ")")
    };
}

pub(super) use {of_app, shape_sql};
