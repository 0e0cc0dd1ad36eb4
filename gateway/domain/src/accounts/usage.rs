//! What an account used in the last 30 days.

use chrono::NaiveDate;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Date, Integer, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, statement};
use shared::ids::UserId;

const DAYS: i32 = 30;
/// Runs that one statement adds to the sums: less than 0.1 s.
const RUNS_OF_A_STEP: i32 = 20_000;
/// Steps of one call: half a million runs.
const MOST_STEPS: usize = 25;

/// The use of one day (UTC).
#[derive(Debug, PartialEq, Eq, QueryableByName)]
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

/// The sums, the runs behind the account's cursor and those that it skipped (see the migration usage_days).
const SQL: &str = "
SELECT d.day::date AS day, coalesce(s.runs, 0) + coalesce(u.runs, 0) AS runs,
       coalesce(s.tokens, 0) + coalesce(u.tokens, 0) AS tokens
FROM (SELECT (capi_now() AT TIME ZONE 'UTC')::date AS day) today,
     LATERAL generate_series(today.day - ($2 - 1), today.day, interval '1 day') d (day)
LEFT JOIN usage_days s ON s.user_id = $1 AND s.day = d.day::date
LEFT JOIN (
    SELECT (r.created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS runs,
           sum(r.input_tokens + r.output_tokens)::bigint AS tokens
    FROM (
        SELECT created_at, input_tokens, output_tokens FROM runs
        WHERE user_id = $1
          AND (created_at, id) > (
              coalesce((SELECT c.at FROM usage_cursors c WHERE c.user_id = $1), 'epoch'),
              coalesce((SELECT c.id FROM usage_cursors c WHERE c.user_id = $1),
                       '00000000-0000-0000-0000-000000000000'))
          AND created_at >= (
              SELECT ((capi_now() AT TIME ZONE 'UTC')::date - ($2 - 1))::timestamp AT TIME ZONE 'UTC')
        UNION ALL
        SELECT created_at, input_tokens, output_tokens FROM runs
        WHERE id = ANY (ARRAY(SELECT unnest(c.skipped) FROM usage_cursors c WHERE c.user_id = $1))) r
    GROUP BY 1) u ON u.day = d.day::date
ORDER BY 1";

/// The last 30 days, oldest first, days without runs included. Counts the runs that exist. The first call for
/// an account with many runs takes a second.
pub async fn days(db: &Db, user: UserId) -> Result<Vec<Day>, DbError> {
    for _ in 0..MOST_STEPS {
        match add_to_sums(db, user).await {
            Ok(true) => {}
            Ok(false) => break,
            // Another gateway adds, or a deletion subtracts. What is not in the sums is counted below.
            Err(error) if error.is_lock_timeout() => break,
            Err(error) => return Err(error),
        }
    }
    db.read(|mut conn| async move {
        let counting = statement(SQL).bind::<SqlUuid, _>(user.uuid()).bind::<Integer, _>(DAYS);
        Ok(counting.load(&mut conn).await?)
    })
    .await
}

/// Adds some runs to the sums. Returns whether there may be more.
async fn add_to_sums(db: &Db, user: UserId) -> Result<bool, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        more: bool,
    }
    db.write(|mut conn| async move {
        let row: Row = statement("SELECT add_usage_v1($1, $2, $3) AS more")
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Integer, _>(DAYS)
            .bind::<Integer, _>(RUNS_OF_A_STEP)
            .get_result(&mut conn)
            .await?;
        Ok(row.more)
    })
    .await
}

#[cfg(test)]
mod tests;
