//! Counts the searches of a provider with a quota, over all workers. The database's clock decides the period.

use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use shared::config::SearchQuota;
use shared::db::{Db, DbError, statement};

use super::SearchFailure;

/// Counts the search if the quota has room for it.
const COUNT: &str = "
INSERT INTO search_usage AS u (provider, period, searches)
VALUES ($1, to_char(capi_now() AT TIME ZONE 'UTC', $2), 1)
ON CONFLICT (provider, period) DO UPDATE SET searches = u.searches + 1 WHERE u.searches < $3";

/// The forms of periods for `to_char`.
const DAY: &str = "YYYY-MM-DD";
const MONTH: &str = "YYYY-MM";

/// Takes one search of the quota, before it is made. One that fails counts too: a provider may count it. The
/// day comes first: a search that its quota refuses must not use up the month's.
pub(super) async fn take(db: &Db, provider: &str, quota: SearchQuota) -> Result<(), SearchFailure> {
    for (most, form, period) in [(quota.day, DAY, "day"), (quota.month, MONTH, "month")] {
        let Some(most) = most else { continue };
        match count(db, provider, form, most).await {
            Ok(true) => {}
            Ok(false) => return Err(SearchFailure::OwnQuota(period)),
            Err(error) => return Err(SearchFailure::NotCounted(error.to_string())),
        }
    }
    Ok(())
}

async fn count(db: &Db, provider: &str, form: &str, most: u32) -> Result<bool, DbError> {
    db.write(|mut conn| async move {
        let counting = statement(COUNT)
            .bind::<Text, _>(provider)
            .bind::<Text, _>(form)
            .bind::<BigInt, _>(i64::from(most));
        Ok(counting.execute(&mut conn).await? == 1)
    })
    .await
}
