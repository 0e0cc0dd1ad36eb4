//! Stores agent apps. A version never changes: a new definition is a new version. All writes of an account's
//! apps hold the account's lock.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Deserialize as _;
use serde_json::{Value, json};
use shared::apps::AppDefinition;
use shared::config::Quotas;
use shared::db::{Db, DbError, lock_user, statement};
use shared::ids::{AppId, AppVersionId, UserId};

use super::room;
use crate::Refusal;
use crate::accounts::audit::{self, Action, Actor};
use crate::accounts::quotas::Exceeded;
use crate::error::{StoreError, write as write_with_refusals};

/// The most apps of an account, archived apps included, and the most versions of an app.
const MAX_APPS: i64 = 1000;
const MAX_VERSIONS: i32 = 1000;

/// Why an app was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreRefusal {
    #[error("the account has no such app")]
    Unknown,
    #[error("another app has the name {0:?}")]
    NameTaken(String),
    /// A concurrent edit stored another version, which has this number.
    #[error("the app was changed meanwhile: its version is {0} now")]
    Changed(i32),
    #[error("there are already {0} {1}, which is the limit")]
    TooMany(i64, &'static str),
    /// The numbers count the version that was not stored.
    #[error("all versions of the account's apps would have {} bytes, its plan allows {}", .0.used, .0.limit)]
    OverQuota(Exceeded),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<StoreRefusal> for Refusal {
    fn from(refusal: StoreRefusal) -> Self {
        match refusal {
            StoreRefusal::Unknown => Self::NotFound("app"),
            StoreRefusal::NameTaken(name) => Self::AppNameTaken(name),
            StoreRefusal::Changed(version) => Self::AppChanged { version },
            StoreRefusal::TooMany(most, what) => Self::TooManyApps { most, what },
            StoreRefusal::OverQuota(exceeded) => Self::QuotaExceeded(exceeded),
            StoreRefusal::Db(error) => error.into(),
        }
    }
}

impl From<diesel::result::Error> for StoreRefusal {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

#[derive(QueryableByName)]
pub(super) struct StoredRow {
    #[diesel(sql_type = SqlUuid)]
    id: AppId,
    #[diesel(sql_type = Text)]
    pub(super) name: String,
    #[diesel(sql_type = Integer)]
    current_version: i32,
    #[diesel(sql_type = Bool)]
    pub(super) archived: bool,
    #[diesel(sql_type = Nullable<Jsonb>)]
    definition: Option<Value>,
}

impl StoredRow {
    /// Also of a definition that was stored before a member existed.
    fn has(&self, definition: &AppDefinition) -> bool {
        let stored = self.definition.as_ref().map(AppDefinition::deserialize);
        stored.is_some_and(|stored| stored.is_ok_and(|stored| stored == *definition))
    }
}

impl StoreError for StoreRefusal {
    fn into_db(self) -> Result<DbError, Self> {
        match self {
            Self::Db(error) => Ok(error),
            other => Err(other),
        }
    }
}

/// The app with this id, or the app with this name that is not archived.
pub(super) async fn stored(
    conn: &mut AsyncPgConnection,
    user: UserId,
    name: Option<&str>,
    app: Option<AppId>,
) -> diesel::QueryResult<Option<StoredRow>> {
    let sql = "SELECT a.id, a.name, a.current_version, a.archived_at IS NOT NULL AS archived, v.definition
               FROM apps a LEFT JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
               WHERE a.user_id = $1 AND ($2 IS NULL OR (a.name = $2 AND a.archived_at IS NULL))
                 AND ($3 IS NULL OR a.id = $3)";
    let mut rows = statement(sql)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<Text>, _>(name)
        .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
        .load(conn)
        .await?;
    Ok(rows.pop())
}

async fn write_version(
    conn: &mut AsyncPgConnection,
    (user, quotas): (UserId, &Quotas),
    (app, version): (AppId, i32),
    definition: &AppDefinition,
    by: Actor,
) -> Result<(), StoreRefusal> {
    if version > MAX_VERSIONS {
        return Err(StoreRefusal::TooMany(MAX_VERSIONS.into(), "versions of this app"));
    }
    if version == 1 && count(conn, user).await? >= MAX_APPS {
        return Err(StoreRefusal::TooMany(MAX_APPS, "apps"));
    }
    statement(
        "INSERT INTO apps (id, user_id, name, current_version) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE
             SET name = EXCLUDED.name, current_version = EXCLUDED.current_version, updated_at = capi_now()",
    )
    .bind::<SqlUuid, _>(app.uuid())
    .bind::<SqlUuid, _>(user.uuid())
    .bind::<Text, _>(&definition.name)
    .bind::<Integer, _>(version)
    .execute(conn)
    .await?;
    statement("INSERT INTO app_versions (id, app_id, version, definition) VALUES ($1, $2, $3, $4)")
        .bind::<SqlUuid, _>(AppVersionId::generate().uuid())
        .bind::<SqlUuid, _>(app.uuid())
        .bind::<Integer, _>(version)
        .bind::<Jsonb, _>(json!(definition))
        .execute(conn)
        .await?;
    room::check(conn, user, quotas).await?;
    let action = if version == 1 { Action::AppCreated } else { Action::AppChanged };
    audit::record(conn, user, by, action, &format!("{} (version {version})", definition.name)).await?;
    Ok(())
}

async fn count(conn: &mut AsyncPgConnection, user: UserId) -> diesel::QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        apps: i64,
    }
    let sql = "SELECT count(*) AS apps FROM apps WHERE user_id = $1";
    let row: Row = statement(sql).bind::<SqlUuid, _>(user.uuid()).get_result(conn).await?;
    Ok(row.apps)
}

/// Stores the definition as the user's app of that name. An unchanged definition makes no new version.
/// Returns the app and its version.
pub async fn import(
    db: &Db,
    (user, quotas): (UserId, &Quotas),
    definition: &AppDefinition,
    by: Actor,
) -> Result<(AppId, i32), StoreRefusal> {
    write_with_refusals(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                lock_user(conn, user).await?;
                let version = match stored(conn, user, Some(&definition.name), None).await? {
                    Some(row) if row.has(definition) => return Ok((row.id, row.current_version)),
                    Some(row) => (row.id, row.current_version + 1),
                    None => (AppId::generate(), 1),
                };
                write_version(conn, (user, quotas), version, definition, by).await?;
                Ok(version)
            })
            .await
    })
    .await
}

/// Creates an app. If its name is taken, the new app's name gets a number.
pub async fn create(
    db: &Db,
    (user, quotas): (UserId, &Quotas),
    definition: &AppDefinition,
    by: Actor,
) -> Result<AppId, StoreRefusal> {
    let app = AppId::generate();
    write_with_refusals(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                lock_user(conn, user).await?;
                let name = free_name(conn, user, &definition.name).await?;
                let definition = AppDefinition { name, ..definition.clone() };
                write_version(conn, (user, quotas), (app, 1), &definition, by).await?;
                Ok::<_, StoreRefusal>(app)
            })
            .await
    })
    .await
}

/// Creates an app with the name of its definition. If the account's app of that name has the same definition,
/// nothing is created: a request may be sent again. Returns the app, and whether it is new.
pub async fn create_named(
    db: &Db,
    (user, quotas): (UserId, &Quotas),
    definition: &AppDefinition,
    by: Actor,
) -> Result<(AppId, bool), StoreRefusal> {
    let app = AppId::generate();
    write_with_refusals(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                lock_user(conn, user).await?;
                match stored(conn, user, Some(&definition.name), None).await? {
                    Some(row) if row.has(definition) => return Ok((row.id, false)),
                    Some(_) => return Err(StoreRefusal::NameTaken(definition.name.clone())),
                    None => {}
                }
                write_version(conn, (user, quotas), (app, 1), definition, by).await?;
                Ok((app, true))
            })
            .await
    })
    .await
}

/// Stores a new version of an app whose editor started from one of the versions `bases`, or from any version.
/// An unchanged definition makes no new version. Returns the current version.
pub async fn save(
    db: &Db,
    (user, quotas): (UserId, &Quotas),
    (app, bases): (AppId, Option<&[i32]>),
    definition: &AppDefinition,
    by: Actor,
) -> Result<i32, StoreRefusal> {
    write_with_refusals(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                lock_user(conn, user).await?;
                let row = stored(conn, user, None, Some(app)).await?.ok_or(StoreRefusal::Unknown)?;
                // Before the check of the version: a form that is sent twice changes nothing the second time.
                if row.has(definition) {
                    return Ok(row.current_version);
                }
                let current = row.current_version;
                if bases.is_some_and(|bases| !bases.contains(&current)) {
                    return Err(StoreRefusal::Changed(current));
                }
                check_name_is_free(conn, user, app, &definition.name).await?;
                write_version(conn, (user, quotas), (app, current + 1), definition, by).await?;
                Ok(current + 1)
            })
            .await
    })
    .await
}

/// The name, or the name with the first number that makes it free.
async fn free_name(conn: &mut AsyncPgConnection, user: UserId, name: &str) -> diesel::QueryResult<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let sql = "SELECT name FROM apps WHERE user_id = $1 AND archived_at IS NULL AND starts_with(name, $2)";
    let taken: Vec<Row> =
        statement(sql).bind::<SqlUuid, _>(user.uuid()).bind::<Text, _>(name).load(conn).await?;
    let is_free = |candidate: &String| taken.iter().all(|row| row.name != *candidate);
    let numbered = (2..).map(|number| format!("{name} {number}"));
    Ok([name.to_owned()].into_iter().chain(numbered).find(is_free).unwrap_or_else(|| name.to_owned()))
}

pub(super) async fn check_name_is_free(
    conn: &mut AsyncPgConnection,
    user: UserId,
    app: AppId,
    name: &str,
) -> Result<(), StoreRefusal> {
    match stored(conn, user, Some(name), None).await? {
        Some(other) if other.id != app => Err(StoreRefusal::NameTaken(name.to_owned())),
        _ => Ok(()),
    }
}
