//! API keys: created, listed, revoked. The plan limits the active keys (neither revoked nor expired) exactly,
//! also under concurrent creates.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::config::Plans;
use shared::db::{Db, DbError, lock_user, statement};
use shared::ids::{ApiKeyId, AppId, UserId};

use super::audit::{self, Action, Actor};
use super::{ApiKey, Scopes};
use crate::error::{StoreError, write};
use crate::one_line;

/// Characters of a name.
pub const MAX_NAME_CHARS: usize = 100;
/// The longest life of a key in days: ten years.
pub const MAX_DAYS: i32 = 3650;

/// Keys that are listed at most.
const MAX_LISTED: i64 = 500;

/// A key to create.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// 1 to [`MAX_NAME_CHARS`] characters on one line; see [`wrong_name`].
    pub name: String,
    /// The one app that it may see; all apps if absent.
    pub app: Option<AppId>,
    /// Days until it expires, 1 to [`MAX_DAYS`]. It never expires if absent.
    pub days: Option<i32>,
    /// What it may do; at least one scope.
    pub scopes: Scopes,
}

/// What is wrong with a key's name, in words.
#[must_use]
pub fn wrong_name(name: &str) -> Option<String> {
    one_line::wrong_name(name, MAX_NAME_CHARS)
}

/// Why a key was not created.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefusal {
    #[error("the plan {0:?} does not include API keys")]
    Plan(String),
    #[error("the account has {0} active keys, the most its plan allows; revoke one first")]
    Full(i64),
    #[error("the account has no such app")]
    NoApp,
    #[error("{0}")]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for KeyRefusal {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

#[derive(QueryableByName)]
struct Standing {
    #[diesel(sql_type = Text)]
    plan: String,
    #[diesel(sql_type = BigInt)]
    active: i64,
}

const STANDING: &str = "
SELECT u.plan, (SELECT count(*) FROM api_keys k WHERE k.user_id = u.id AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > capi_now())) AS active
FROM users u WHERE u.id = $1";

const INSERT: &str = "
INSERT INTO api_keys (id, user_id, name, sha256, display_prefix, app_id, expires_at, scopes)
SELECT $1, $2, $3, $4, $5, $6, capi_now() + $7 * interval '1 day', $8
WHERE $6 IS NULL OR EXISTS (SELECT 1 FROM apps WHERE id = $6 AND user_id = $2)";

impl StoreError for KeyRefusal {
    fn into_db(self) -> Result<DbError, Self> {
        match self {
            Self::Db(error) => Ok(error),
            other => Err(other),
        }
    }
}

/// Creates a key. Only the returned value can reveal it: the database stores a hash.
pub async fn create(
    db: &Db,
    user: UserId,
    new: &NewKey,
    plans: &Plans,
    by: Actor,
) -> Result<ApiKey, KeyRefusal> {
    let key = ApiKey::generate();
    let created = &key;
    write(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                // Without the lock two creates would both take the last place.
                lock_user(conn, user).await?;
                check_plan(conn, user, plans).await?;
                insert(conn, user, new, created).await?;
                let subject = format!("{} ({}…; {})", new.name, created.display_prefix(), new.scopes);
                audit::record(conn, user, by, Action::KeyCreated, &subject).await?;
                Ok::<_, KeyRefusal>(())
            })
            .await
    })
    .await?;
    Ok(key)
}

async fn check_plan(conn: &mut AsyncPgConnection, user: UserId, plans: &Plans) -> Result<(), KeyRefusal> {
    let standing: Standing = statement(STANDING).bind::<SqlUuid, _>(user.uuid()).get_result(conn).await?;
    let Some(plan) = plans.get(&standing.plan).filter(|plan| plan.api) else {
        return Err(KeyRefusal::Plan(standing.plan));
    };
    if standing.active >= i64::from(plan.api_keys) {
        return Err(KeyRefusal::Full(standing.active));
    }
    Ok(())
}

async fn insert(
    conn: &mut AsyncPgConnection,
    user: UserId,
    new: &NewKey,
    key: &ApiKey,
) -> Result<(), KeyRefusal> {
    let inserted = statement(INSERT)
        .bind::<SqlUuid, _>(ApiKeyId::generate().uuid())
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Text, _>(&new.name)
        .bind::<Binary, _>(key.sha256().as_slice())
        .bind::<Text, _>(key.display_prefix())
        .bind::<Nullable<SqlUuid>, _>(new.app.map(AppId::uuid))
        .bind::<Nullable<Integer>, _>(new.days)
        .bind::<Array<Text>, _>(new.scopes.names())
        .execute(conn)
        .await?;
    if inserted == 0 { Err(KeyRefusal::NoApp) } else { Ok(()) }
}

/// Revokes an active key: the next request with it is refused everywhere. Returns false if the user has no
/// such active key.
pub async fn revoke(db: &Db, user: UserId, key: ApiKeyId, by: Actor) -> Result<bool, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        subject: String,
    }
    const SQL: &str = "
        UPDATE api_keys SET revoked_at = capi_now() WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL
        RETURNING name || ' (' || display_prefix || '…)' AS subject";
    db.write(|mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                let revoked: Option<Row> = statement(SQL)
                    .bind::<SqlUuid, _>(key.uuid())
                    .bind::<SqlUuid, _>(user.uuid())
                    .load(conn)
                    .await?
                    .pop();
                if let Some(row) = &revoked {
                    audit::record(conn, user, by, Action::KeyRevoked, &row.subject).await?;
                }
                Ok::<_, DbError>(revoked.is_some())
            })
            .await
    })
    .await
}

/// A key as lists show it.
#[derive(Debug, Clone, QueryableByName)]
pub struct ListedKey {
    #[diesel(sql_type = SqlUuid)]
    pub id: ApiKeyId,
    #[diesel(sql_type = Text)]
    pub display_prefix: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub app_id: Option<AppId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub app_name: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    scopes: Vec<String>,
    /// active, revoked or expired.
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// Active, and expires within 14 days.
    #[diesel(sql_type = Bool)]
    pub expires_soon: bool,
    /// Active, and not used for 90 days.
    #[diesel(sql_type = Bool)]
    pub idle: bool,
}

impl ListedKey {
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        Scopes::stored(&self.scopes)
    }
}

/// The keys of the user, oldest first. Of revoked and expired keys the newest.
pub async fn list(db: &Db, user: UserId) -> Result<Vec<ListedKey>, DbError> {
    const SQL: &str = "
        SELECT k.*,
               k.state = 'active' AND coalesce(k.expires_at < capi_now() + interval '14 days', false)
                   AS expires_soon,
               k.state = 'active'
                   AND coalesce(k.last_used_at, k.created_at) < capi_now() - interval '90 days' AS idle
        FROM (SELECT k.id, k.display_prefix, k.name, k.app_id, a.name AS app_name, k.scopes,
                  k.expires_at, k.last_used_at, k.created_at,
                  CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                       WHEN k.expires_at <= capi_now() THEN 'expired'
                       ELSE 'active' END AS state
              FROM api_keys k LEFT JOIN apps a ON a.id = k.app_id WHERE k.user_id = $1
              ORDER BY k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > capi_now()) DESC,
                  k.created_at DESC LIMIT $2) k
        ORDER BY k.created_at, k.id";
    db.read(|mut conn| async move {
        Ok(statement(SQL)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<BigInt, _>(MAX_LISTED)
            .load(&mut conn)
            .await?)
    })
    .await
}

/// The plan of the account that this key belongs to. `None` if the key is revoked or expired.
pub async fn plan_of_active(db: &Db, key: ApiKeyId) -> Result<Option<String>, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        plan: String,
    }
    const SQL: &str = "
        SELECT u.plan FROM api_keys k JOIN users u ON u.id = k.user_id
        WHERE k.id = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > capi_now())";
    db.read(|mut conn| async move {
        let mut rows: Vec<Row> = statement(SQL).bind::<SqlUuid, _>(key.uuid()).load(&mut conn).await?;
        Ok(rows.pop().map(|row| row.plan))
    })
    .await
}
