//! What an account used in the last 30 days.

use chrono::NaiveDate;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Date, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, statement};
use shared::ids::UserId;

/// The use of one day (UTC).
#[derive(Debug, QueryableByName)]
pub struct Day {
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
    /// Runs created on that day.
    #[diesel(sql_type = BigInt)]
    pub runs: i64,
    /// Input and output tokens of those runs.
    #[diesel(sql_type = BigInt)]
    pub tokens: i64,
}

/// The last 30 days, oldest first, days without runs included.
pub async fn days(db: &Db, user: UserId) -> Result<Vec<Day>, DbError> {
    const SQL: &str = "
        SELECT d.day::date AS day, coalesce(u.runs, 0) AS runs, coalesce(u.tokens, 0) AS tokens
        FROM (SELECT (capi_now() AT TIME ZONE 'UTC')::date AS day) today,
             LATERAL generate_series(today.day - 29, today.day, interval '1 day') d (day)
        LEFT JOIN (
            SELECT (r.created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS runs,
                   sum(r.input_tokens + r.output_tokens)::bigint AS tokens
            FROM runs r
            WHERE r.user_id = $1
              AND r.created_at >= (
                  SELECT ((capi_now() AT TIME ZONE 'UTC')::date - 29)::timestamp AT TIME ZONE 'UTC')
            GROUP BY 1) u ON u.day = d.day::date
        ORDER BY 1";
    db.read(
        |mut conn| async move { Ok(statement(SQL).bind::<SqlUuid, _>(user.uuid()).load(&mut conn).await?) },
    )
    .await
}
