//! The bytes of all versions of an account's apps. They may be as many as the plan's stored bytes, and count
//! apart from files: versions cannot be deleted, and so must not take the room of files.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::config::Quotas;
use shared::db::{Db, DbError, statement};
use shared::ids::UserId;

use super::store::StoreRefusal;
use crate::accounts::quotas::{Exceeded, Quota};

/// Bytes that a version counts at least: its rows and its line of the audit log. It also bounds the number of
/// rows that are summed up.
const MIN_BYTES: i64 = 4096;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// The bytes as PostgreSQL stores them, which may be compressed. Nothing is decompressed for the sum. Stops
/// when the sum is above `most`.
async fn sum(conn: &mut AsyncPgConnection, user: UserId, most: i64) -> diesel::QueryResult<i64> {
    const SQL: &str = "
        SELECT coalesce(sum(counted.bytes), 0)::bigint AS bytes FROM (
            SELECT greatest(pg_column_size(v.definition), $2) AS bytes
            FROM apps a JOIN app_versions v ON v.app_id = a.id WHERE a.user_id = $1 LIMIT $3) counted";
    let row: Row = statement(SQL)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<BigInt, _>(MIN_BYTES)
        .bind::<BigInt, _>(most / MIN_BYTES + 1)
        .get_result(conn)
        .await?;
    Ok(row.bytes)
}

fn most(quotas: &Quotas) -> Option<i64> {
    quotas.max_stored_bytes.map(|most| i64::try_from(most).unwrap_or(i64::MAX))
}

/// Refuses a version that the transaction has just written, if the account has no room for it. The caller
/// holds the account's lock, so the check is exact.
pub(super) async fn check(
    conn: &mut AsyncPgConnection,
    user: UserId,
    quotas: &Quotas,
) -> Result<(), StoreRefusal> {
    let Some(limit) = most(quotas) else { return Ok(()) };
    let bytes = sum(conn, user, limit).await?;
    if bytes <= limit {
        return Ok(());
    }
    metrics::counter!("capi_quota_refusals_total", "quota" => Quota::AppBytes.name()).increment(1);
    Err(StoreRefusal::OverQuota(Exceeded { quota: Quota::AppBytes, used: bytes, limit }))
}

/// The bytes of the versions, if the plan limits them.
pub async fn used(db: &Db, user: UserId, quotas: &Quotas) -> Result<Option<i64>, DbError> {
    let Some(limit) = most(quotas) else { return Ok(None) };
    db.read(|mut conn| async move { Ok(Some(sum(&mut conn, user, limit).await?)) }).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::apps::AppDefinition;
    use shared::testing::TestDatabase;

    use super::*;
    use crate::accounts::Actor;
    use crate::apps::store::{create, import};

    #[tokio::test(flavor = "multi_thread")]
    async fn versions_at_once_stay_under_the_limit_and_large_ones_count_their_bytes() {
        let database = TestDatabase::create().await;
        let (db, user) = (&database.db, UserId::generate());
        let account = "INSERT INTO users (id, email, password_hash, plan)
                       VALUES ($1, 'ada@example.com', '', 'free')";
        let mut conn = database.conn().await;
        statement(account).bind::<SqlUuid, _>(user.uuid()).execute(&mut conn).await.unwrap();
        database.run_sql("INSERT INTO user_slots (user_id) SELECT id FROM users").await;
        let definition = |name: &str, prompt: String| -> AppDefinition {
            serde_json::from_value(json!({"name": name, "prompt": prompt})).unwrap()
        };
        let quotas = &Quotas { max_stored_bytes: Some(5 * 4096 + 2048), ..Quotas::default() };
        let small = definition("A", "p".to_owned());
        let create_one = || {
            let (db, quotas, small) = (db.clone(), *quotas, small.clone());
            tokio::spawn(async move { create(&db, (user, &quotas), &small, Actor::Operator).await })
        };
        let (mut made, mut refused) = (0, Vec::new());
        for task in (0..20).map(|_| create_one()).collect::<Vec<_>>() {
            match task.await.unwrap() {
                Ok(_) => made += 1,
                Err(refusal) => refused.push(refusal),
            }
        }
        assert_eq!(made, 5);
        let limit = Exceeded { quota: Quota::AppBytes, used: 6 * 4096, limit: 5 * 4096 + 2048 };
        for refusal in refused {
            assert!(matches!(refusal, StoreRefusal::OverQuota(exceeded) if exceeded == limit), "{refusal:?}");
        }
        assert_eq!(used(db, user, quotas).await.unwrap(), Some(5 * 4096));
        // Random text, which compresses little.
        let random: String = (0..2000).map(|_| UserId::generate().to_string()).collect();
        let large = definition("B", random);
        assert!(import(db, (user, quotas), &large, Actor::Operator).await.is_err());
        import(db, (user, &Quotas::default()), &large, Actor::Operator).await.unwrap();
        let most = &Quotas { max_stored_bytes: Some(1 << 20), ..Quotas::default() };
        let all = used(db, user, most).await.unwrap().unwrap();
        assert!(all > 5 * 4096 + 8000, "{all}");
        assert_eq!(used(db, user, &Quotas::default()).await.unwrap(), None);
    }
}
