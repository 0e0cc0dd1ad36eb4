//! Creates that may be repeated: what `Idempotency-Key` remembers of an accepted create, for 24 hours per user and path.
//! It is written by the statement that accepts the run (`accept`), so there is no key without its run and no run twice.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Connection, Db, DbError, statement};
use shared::ids::{RunId, UserId};
use shared::lifecycle::Lifecycle;

/// How long a key is kept.
pub(crate) const KEPT: Duration = Duration::from_hours(24);
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Expired keys that one statement deletes.
const BATCH: i64 = 1000;

/// A create that may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The path it was sent to, ids in their usual form.
    pub path: String,
    /// The caller's key.
    pub key: String,
    /// SHA-256 over its fields as they were understood: spelling and order do not count.
    pub request_hash: Vec<u8>,
}

impl Once {
    /// The create of these fields.
    #[must_use]
    pub fn new(path: String, key: String, fields: &Value) -> Self {
        // The members of a serde_json object are sorted.
        let request_hash = digest(&SHA256, fields.to_string().as_bytes()).as_ref().to_vec();
        Self { path, key, request_hash }
    }
}

/// What is remembered of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Known {
    /// The run that it created.
    #[diesel(sql_type = SqlUuid)]
    pub run: RunId,
    /// Whether the fields were the same.
    #[diesel(sql_type = Bool)]
    pub same: bool,
}

/// Looks the user's key up.
pub async fn find(conn: &mut Connection, user: UserId, once: &Once) -> Result<Option<Known>, DbError> {
    let sql = "SELECT run_id AS run, request_hash = $4 AS same FROM idempotency_keys
               WHERE user_id = $1 AND path = $2 AND key = $3 AND expires_at > capi_now()";
    let mut known: Vec<Known> = statement(sql)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Text, _>(&once.path)
        .bind::<Text, _>(&once.key)
        .bind::<Binary, _>(&once.request_hash)
        .load(conn)
        .await?;
    Ok(known.pop())
}

/// Until the process stops: forgets expired keys. An expired key that is not forgotten yet counts for nothing.
pub(crate) async fn sweep(db: Db, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
        while let Ok(true) = forget_expired(&db).await.inspect_err(|error| {
            tracing::warn!(%error, "expired idempotency keys are not forgotten");
        }) {
            if lifecycle.stopping().is_cancelled() {
                return;
            }
        }
    }
}

/// Whether there may be more.
async fn forget_expired(db: &Db) -> Result<bool, DbError> {
    const FORGET: &str = "
        DELETE FROM idempotency_keys k USING (
            SELECT user_id, path, key FROM idempotency_keys WHERE expires_at <= (SELECT capi_now())
            ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED) expired
        WHERE (k.user_id, k.path, k.key) = (expired.user_id, expired.path, expired.key)";
    let forgotten =
        db.write(|mut conn| async move {
            Ok(statement(FORGET).bind::<BigInt, _>(BATCH).execute(&mut conn).await?)
        })
        .await?;
    Ok(i64::try_from(forgotten).is_ok_and(|forgotten| forgotten == BATCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::testing::TestDatabase;

    #[test]
    fn order_and_spelling_of_the_fields_do_not_count() {
        let once = |text: &str| {
            let fields: Value = serde_json::from_str(text).unwrap();
            Once::new("/api/v1/runs".to_owned(), "k".to_owned(), &fields)
        };
        assert_eq!(once(r#"{"a": "é", "b": [1]}"#), once("{\"b\":[ 1 ],\"a\":\"\\u00e9\"}"));
        assert_ne!(once(r#"{"a": 1}"#), once(r#"{"a": "1"}"#));
        assert_ne!(once(r#"{"a": [1, 2]}"#), once(r#"{"a": [2, 1]}"#));
        assert_eq!(once("{}").request_hash.len(), 32);
        assert_eq!(
            json!({"b": 1, "a": 2}).to_string(),
            r#"{"a":2,"b":1}"#,
            "sorted, or the order would count"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn expired_keys_are_forgotten_and_others_kept() {
        let database = TestDatabase::create().await;
        let mut conn = database.conn().await;
        // The keys alone: no accounts and runs behind them.
        statement("SET session_replication_role = replica").execute(&mut conn).await.unwrap();
        let keys = "INSERT INTO idempotency_keys (user_id, path, key, request_hash, run_id, expires_at)
                    SELECT gen_random_uuid(), '/', n::text, sha256(''), gen_random_uuid(), capi_now() + (n - 1500) * interval '1 min'
                    FROM generate_series(1, 3000) n";
        statement(keys).execute(&mut conn).await.unwrap();
        assert!(forget_expired(&database.db).await.unwrap(), "there are more than one batch");
        assert!(!forget_expired(&database.db).await.unwrap());
        let left = "SELECT 1 FROM idempotency_keys";
        assert_eq!(database.run_sql(left).await, 1500);
        let wrong = "SELECT 1 FROM idempotency_keys WHERE expires_at <= capi_now()";
        assert_eq!(database.run_sql(wrong).await, 0);
    }
}
