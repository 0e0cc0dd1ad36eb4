//! Creates that may be repeated: what `Idempotency-Key` stores of an accepted create, for 24 hours per user
//! and path.
//!
//! The statement that inserts the run (`insert`) writes the key too. So a key without its run is that of a
//! deleted run, and no run is created twice. A deleted run leaves its key until it expires: a client that
//! sends its create once more does not want it executed again.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Number, Value};
use shared::db::{Db, DbError, statement};
use shared::ids::{RunId, UserId};
use shared::lifecycle::Lifecycle;

/// How long a key is kept.
pub(crate) const KEPT: Duration = Duration::from_hours(24);
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Expired keys that one statement deletes.
const BATCH: i64 = 1000;

/// The idempotency key of a create, with the fields that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The path of the request, with ids in their usual form.
    pub path: String,
    /// The client's key.
    pub key: String,
    /// SHA-256 of the parsed fields: spelling and order do not matter.
    pub request_hash: Vec<u8>,
    /// The hash that former versions stored. They told 1 from 1.0.
    pub former_hash: Vec<u8>,
}

impl IdempotencyKey {
    #[must_use]
    pub fn new(path: String, key: String, mut fields: Value) -> Self {
        // The members of a serde_json object are sorted.
        let hash = |fields: &Value| digest(&SHA256, fields.to_string().as_bytes()).as_ref().to_vec();
        let former_hash = hash(&fields);
        let request_hash = if make_canonical(&mut fields) { hash(&fields) } else { former_hash.clone() };
        Self { path, key, request_hash, former_hash }
    }
}

/// Gives each number one spelling: JSON does not tell 1 from 1.0. Returns whether it changed one.
fn make_canonical(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            let integer = number.as_f64().filter(|_| number.is_f64()).and_then(as_integer);
            let Some(integer) = integer else { return false };
            *number = integer;
            true
        }
        Value::Array(items) => items.iter_mut().map(make_canonical).fold(false, std::ops::BitOr::bitor),
        Value::Object(members) => {
            members.values_mut().map(make_canonical).fold(false, std::ops::BitOr::bitor)
        }
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// The integer that equals the number exactly.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "the conversion back shows whether the first one was exact"
)]
fn as_integer(float: f64) -> Option<Number> {
    let whole = Some(float as i128).filter(|whole| *whole as f64 == float)?;
    i64::try_from(whole).map(Number::from).or_else(|_| u64::try_from(whole).map(Number::from)).ok()
}

/// A stored key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct StoredKey {
    /// The run that it created.
    #[diesel(sql_type = SqlUuid)]
    pub run: RunId,
    /// Whether it was stored with the same fields.
    #[diesel(sql_type = Bool)]
    pub same: bool,
    /// Whether the run was deleted.
    #[diesel(sql_type = Bool)]
    pub deleted: bool,
}

/// The user's stored key, if it exists and has not expired.
pub async fn find(db: &Db, user: UserId, key: &IdempotencyKey) -> Result<Option<StoredKey>, DbError> {
    const SQL: &str = "
        SELECT run_id AS run, request_hash IN ($4, $5) AS same,
            NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = k.run_id) AS deleted
        FROM idempotency_keys k
        WHERE user_id = $1 AND path = $2 AND key = $3 AND expires_at > capi_now()";
    db.read(|mut conn| async move {
        let mut found: Vec<StoredKey> = statement(SQL)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Text, _>(&key.path)
            .bind::<Text, _>(&key.key)
            .bind::<Binary, _>(&key.request_hash)
            .bind::<Binary, _>(&key.former_hash)
            .load(&mut conn)
            .await?;
        Ok(found.pop())
    })
    .await
}

/// Whether the user has stored a key for this path, with whatever fields. Such a request is a replay.
pub(super) async fn is_known(db: &Db, user: UserId, path: &str, key: &str) -> Result<bool, DbError> {
    const SQL: &str = "
        SELECT 1 FROM idempotency_keys
        WHERE user_id = $1 AND path = $2 AND key = $3 AND expires_at > capi_now()";
    exists(db, SQL, user, (path, key)).await
}

/// Whether the user has stored a key for this path that begins with `beginning`.
pub(super) async fn is_known_beginning(
    db: &Db,
    user: UserId,
    path: &str,
    beginning: &str,
) -> Result<bool, DbError> {
    const SQL: &str = "
        SELECT 1 FROM idempotency_keys
        WHERE user_id = $1 AND path = $2 AND starts_with(key, $3) AND expires_at > capi_now() LIMIT 1";
    exists(db, SQL, user, (path, beginning)).await
}

async fn exists(
    db: &Db,
    sql: &'static str,
    user: UserId,
    (path, key): (&str, &str),
) -> Result<bool, DbError> {
    db.read(|mut conn| async move {
        let found = statement(sql)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Text, _>(path)
            .bind::<Text, _>(key)
            .execute(&mut conn)
            .await?;
        Ok(found == 1)
    })
    .await
}

/// Deletes expired keys until the process stops. An expired key has no effect before it is deleted.
pub async fn sweep(db: Db, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = lifecycle.stopping().cancelled() => return,
        }
        while let Ok(true) = delete_expired(&db).await.inspect_err(|error| {
            tracing::warn!(%error, "failed to delete expired idempotency keys");
        }) {
            if lifecycle.stopping().is_cancelled() {
                return;
            }
        }
    }
}

/// Deletes one batch. Returns whether more may remain.
async fn delete_expired(db: &Db) -> Result<bool, DbError> {
    const DELETE: &str = "
        DELETE FROM idempotency_keys k USING (
            SELECT user_id, path, key FROM idempotency_keys WHERE expires_at <= (SELECT capi_now())
            ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED) expired
        WHERE (k.user_id, k.path, k.key) = (expired.user_id, expired.path, expired.key)";
    let deleted =
        db.write(|mut conn| async move {
            Ok(statement(DELETE).bind::<BigInt, _>(BATCH).execute(&mut conn).await?)
        })
        .await?;
    Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted == BATCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::testing::TestDatabase;

    #[test]
    fn order_and_spelling_of_the_fields_do_not_matter() {
        let key = |text: &str| {
            let fields: Value = serde_json::from_str(text).unwrap();
            IdempotencyKey::new("/api/v1/runs".to_owned(), "k".to_owned(), fields)
        };
        assert_eq!(key(r#"{"a": "é", "b": [1]}"#), key("{\"b\":[ 1 ],\"a\":\"\\u00e9\"}"));
        assert_ne!(key(r#"{"a": 1}"#), key(r#"{"a": "1"}"#));
        assert_ne!(key(r#"{"a": [1, 2]}"#), key(r#"{"a": [2, 1]}"#));
        for (one, other) in [
            (r#"{"n": [1, -0, 0.0, 100, 2e5]}"#, r#"{"n": [1.0, 0, -0.0, 1e2, 200000.0]}"#),
            (r#"{"n": 9007199254740993}"#, "{\"n\":9007199254740993 }"),
            (r#"{"n": 100000000000000000}"#, r#"{"n": 1e17}"#),
            (r#"{"n": 18446744073709549568}"#, r#"{"n": 18446744073709549568.0}"#),
            (r#"{"n": 100000000000000000000000}"#, r#"{"n": 1e23}"#),
            (r#"{"n": 0.1}"#, r#"{"n": 1e-1}"#),
        ] {
            assert_eq!(key(one).request_hash, key(other).request_hash, "{one} {other}");
        }
        for (one, other) in [
            (r#"{"n": 9007199254740993}"#, r#"{"n": 9007199254740992}"#),
            (r#"{"n": 9007199254740993}"#, r#"{"n": 9007199254740992.0}"#),
            (r#"{"n": 18446744073709551615}"#, r#"{"n": 18446744073709551616}"#),
            (r#"{"n": 9223372036854775807}"#, r#"{"n": 9223372036854775808.0}"#),
            (r#"{"n": 1}"#, r#"{"n": 1.5}"#),
            (r#"{"n": 1}"#, r#"{"n": -1}"#),
        ] {
            assert_ne!(key(one).request_hash, key(other).request_hash, "{one} {other}");
        }
        assert_eq!(key("{}").request_hash.len(), 32);
        assert_eq!(
            json!({"b": 1, "a": 2}).to_string(),
            r#"{"a":2,"b":1}"#,
            "sorted, or the order would count"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sweep_deletes_expired_keys_only() {
        let database = TestDatabase::create().await;
        let mut conn = database.conn().await;
        // Without triggers: the keys refer to no accounts and runs.
        statement("SET session_replication_role = replica").execute(&mut conn).await.unwrap();
        let keys = "INSERT INTO idempotency_keys (user_id, path, key, request_hash, run_id, expires_at)
                    SELECT gen_random_uuid(), '/', n::text, sha256(''), gen_random_uuid(),
                           capi_now() + (n - 1500) * interval '1 min'
                    FROM generate_series(1, 3000) n";
        statement(keys).execute(&mut conn).await.unwrap();
        assert!(delete_expired(&database.db).await.unwrap(), "more than one batch is expired");
        assert!(!delete_expired(&database.db).await.unwrap());
        let left = "SELECT 1 FROM idempotency_keys";
        assert_eq!(database.run_sql(left).await, 1500);
        let wrong = "SELECT 1 FROM idempotency_keys WHERE expires_at <= capi_now()";
        assert_eq!(database.run_sql(wrong).await, 0);
    }
}
