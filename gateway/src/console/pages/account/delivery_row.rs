//! A delivery and its tries, as the page shows them.

use chrono::{DateTime, TimeDelta, Utc};
use gateway_domain::deliveries::test_ping::PingResult;
use gateway_domain::deliveries::{Attempt, Delivery};
use shared::deliveries::DeliveryStatus;
use shared::ids::{DeliveryId, RunId};
use shared::time::format_time;

use crate::console::format::{Timestamp, duration};
use crate::console::shown::{IN_API, Room, Shown, TEXT_BYTES};

pub(super) struct Row {
    pub(super) id: DeliveryId,
    pub(super) run: RunId,
    pub(super) kind: String,
    pub(super) url: String,
    pub(super) status: String,
    pub(super) created: Timestamp,
    /// The same in a text.
    pub(super) created_text: String,
    pub(super) next: Option<Timestamp>,
    /// Newest first.
    pub(super) tries: Vec<Try>,
    pub(super) can_resend: bool,
    /// Whether its tries are shown without a click.
    pub(super) open: bool,
}

/// One try, or a test.
pub(super) struct Try {
    pub(super) number: i32,
    pub(super) at: Timestamp,
    pub(super) took: String,
    pub(super) status: Option<i32>,
    pub(super) code: Option<String>,
    /// Why it failed.
    pub(super) reason: Option<String>,
    pub(super) answer: Option<Shown<'static>>,
}

impl Row {
    /// `open`: the page shows the deliveries of one run.
    pub(super) fn of(delivery: Delivery, open: bool, room: &mut Room) -> Self {
        let status: Option<DeliveryStatus> = delivery.status.parse().ok();
        let tries = delivery.attempts.into_iter().rev().map(|attempt| Try::of(attempt.0, room)).collect();
        Self {
            id: delivery.id,
            run: delivery.run_id,
            kind: delivery.r#type,
            url: delivery.url,
            created: Timestamp(delivery.created_at),
            created_text: format_time(delivery.created_at),
            next: delivery.next_attempt_at.map(Timestamp),
            tries,
            can_resend: status.is_some_and(|status| !status.is_open()),
            open: open || status == Some(DeliveryStatus::Failed),
            status: delivery.status,
        }
    }
}

impl Try {
    fn of(attempt: Attempt, room: &mut Room) -> Self {
        Self {
            number: attempt.number,
            at: Timestamp(attempt.at.0),
            took: took(attempt.duration_ms),
            status: attempt.status_code,
            reason: reason(attempt.error.as_deref(), attempt.error_message),
            code: attempt.error,
            answer: answer(attempt.response_body, room),
        }
    }

    pub(super) fn of_ping(result: PingResult) -> Self {
        Self {
            number: 1,
            at: Timestamp(DateTime::UNIX_EPOCH),
            took: took(result.duration_ms),
            status: result.status_code,
            reason: reason(result.error.as_deref(), result.error_message),
            code: result.error,
            answer: answer(result.response_body, &mut Room::new(TEXT_BYTES, IN_API)),
        }
    }
}

fn took(ms: i32) -> String {
    let from = DateTime::<Utc>::UNIX_EPOCH;
    duration(from, from + TimeDelta::milliseconds(ms.into()))
}

/// The sentence; a former version may have stored none.
fn reason(code: Option<&str>, message: Option<String>) -> Option<String> {
    code.map(|_| message.filter(|text| !text.is_empty()).unwrap_or_else(|| "The try failed.".to_owned()))
}

fn answer(body: Option<String>, room: &mut Room) -> Option<Shown<'static>> {
    body.filter(|text| !text.trim().is_empty()).map(|text| room.show(text))
}
