//! Finds the runs of a page. Each combination of filters walks one index in the list's order, so that a page costs the
//! same with thousands of runs behind it and with millions.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Connection, DbError, statement};
use shared::ids::{AppId, RunId, UserId};

use super::filters::Filters;
use crate::extract::{Page, Position};

/// A run's place in the list.
#[derive(Debug, Clone, QueryableByName)]
pub(super) struct Found {
    #[diesel(sql_type = SqlUuid)]
    pub(super) id: RunId,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl Found {
    pub(super) fn position(&self) -> Position {
        Position { at: self.created_at, id: self.id.uuid() }
    }
}

/// The text depends on which filters there are; the values are always the same.
fn sql(filters: &Filters, continued: bool) -> String {
    let mut wanted = String::new();
    let mut and = |there: bool, condition: &str| {
        if there {
            wanted.push_str(" AND ");
            wanted.push_str(condition);
        }
    };
    and(filters.app.is_some(), "r.app_id = $3");
    and(filters.source.is_some(), "r.source = $4");
    and(filters.after.is_some(), "r.created_at > $5");
    and(filters.before.is_some(), "r.created_at < $6");
    and(continued, "(r.created_at, r.id) < ($7, $8)");
    let order = "ORDER BY r.created_at DESC, r.id DESC LIMIT $12";
    if !filters.metadata.is_empty() {
        // The first pair's own index gives the order.
        let status = if filters.status.is_empty() { "" } else { " AND r.status = ANY ($2)" };
        let pair = if continued { " AND (m.created_at, m.run_id) < ($7, $8)" } else { "" };
        return format!(
            "SELECT r.id, r.created_at FROM run_metadata m JOIN runs r ON r.id = m.run_id
             WHERE m.user_id = $1 AND m.key = $9 AND m.value = $10 AND r.metadata @> $11{pair}{status}{wanted}
             ORDER BY m.created_at DESC, m.run_id DESC LIMIT $12"
        );
    }
    if filters.status.is_empty() {
        return format!("SELECT r.id, r.created_at FROM runs r WHERE r.user_id = $1{wanted} {order}");
    }
    // A page of each status, then the newest of those.
    format!(
        "SELECT p.id, p.created_at FROM unnest($2) s (status), LATERAL (
             SELECT r.id, r.created_at FROM runs r WHERE r.user_id = $1 AND r.status = s.status{wanted} {order}) p
         ORDER BY p.created_at DESC, p.id DESC LIMIT $12"
    )
}

/// The ids of the page's runs and of one more where there is one, newest first.
pub(super) async fn find(
    conn: &mut Connection,
    user: UserId,
    page: &Page<Filters>,
) -> Result<Vec<Found>, DbError> {
    let filters = &page.filters;
    let pairs: Value =
        filters.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    let (key, value) = filters.metadata.as_slice().first().cloned().unwrap_or_default();
    let found = statement(sql(filters, page.after.is_some()))
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Array<Text>, _>(filters.status.iter().map(|status| status.as_str()).collect::<Vec<_>>())
        .bind::<Nullable<SqlUuid>, _>(filters.app.map(AppId::uuid))
        .bind::<Nullable<Text>, _>(filters.source.as_deref())
        .bind::<Nullable<Timestamptz>, _>(filters.after)
        .bind::<Nullable<Timestamptz>, _>(filters.before)
        .bind::<Nullable<Timestamptz>, _>(page.after.map(|position| position.at))
        .bind::<Nullable<SqlUuid>, _>(page.after.map(|position| position.id))
        .bind::<Text, _>(key)
        .bind::<Text, _>(value)
        .bind::<Jsonb, _>(pairs)
        .bind::<BigInt, _>(page.rows())
        .load(conn)
        .await?;
    Ok(found)
}
