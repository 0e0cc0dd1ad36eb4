//! Stores agent apps. A version is never changed: another definition is another version. Whatever writes an account's apps
//! does it behind the account's lock.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use shared::apps::AppDefinition;
use shared::db::{Connection, DbError, lock_user, statement};
use shared::ids::{AppId, AppVersionId, UserId};

use crate::audit::{self, Action, Actor};

/// Apps of an account, archived ones among them, and versions of an app: more than anybody makes by hand.
const MAX_APPS: i64 = 1000;
const MAX_VERSIONS: i32 = 1000;

/// Why an app was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreRefusal {
    /// The account has no such app.
    #[error("the account has no such app")]
    Unknown,
    /// Another app of the account has this name.
    #[error("another app has the name {0:?}")]
    NameTaken(String),
    /// Somebody stored another version meanwhile.
    #[error("the app was changed meanwhile: its version is {0} now")]
    Changed(i32),
    /// As many as an account, or an app, may have.
    #[error("there are {0} {1} already, the most there may be")]
    TooMany(i64, &'static str),
    /// The database did not do it.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for StoreRefusal {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

#[derive(QueryableByName)]
struct StoredRow {
    #[diesel(sql_type = SqlUuid)]
    id: AppId,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Integer)]
    current_version: i32,
    #[diesel(sql_type = Bool)]
    archived: bool,
    #[diesel(sql_type = Nullable<Jsonb>)]
    definition: Option<Value>,
}

/// The app that is not archived and has this name, or the one of this id.
async fn stored(
    conn: &mut AsyncPgConnection,
    user: UserId,
    name: Option<&str>,
    app: Option<AppId>,
) -> diesel::QueryResult<Option<StoredRow>> {
    let sql = "SELECT a.id, a.name, a.current_version, a.archived_at IS NOT NULL AS archived, v.definition
               FROM apps a LEFT JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
               WHERE a.user_id = $1 AND ($2 IS NULL OR (a.name = $2 AND a.archived_at IS NULL)) AND ($3 IS NULL OR a.id = $3)";
    let mut rows = statement(sql)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<Text>, _>(name)
        .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
        .load(conn)
        .await?;
    Ok(rows.pop())
}

async fn write(
    conn: &mut AsyncPgConnection,
    user: UserId,
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
         ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, current_version = EXCLUDED.current_version, updated_at = capi_now()",
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

/// Stores the definition as the user's app of that name; an unchanged one makes no new version. Returns the app and
/// its version.
pub async fn import(
    conn: &mut Connection,
    user: UserId,
    definition: &AppDefinition,
    by: Actor,
) -> Result<(AppId, i32), StoreRefusal> {
    conn.build_transaction()
        .run(async |conn| {
            lock_user(conn, user).await?;
            let existing = stored(conn, user, Some(&definition.name), None).await?;
            let place = match existing {
                Some(row) if row.definition.as_ref() == Some(&json!(definition)) => {
                    return Ok((row.id, row.current_version));
                }
                Some(row) => (row.id, row.current_version + 1),
                None => (AppId::generate(), 1),
            };
            write(conn, user, place, definition, by).await?;
            Ok(place)
        })
        .await
}

/// Makes an app; where its name is taken, under one with a number behind it.
pub async fn create(
    conn: &mut Connection,
    user: UserId,
    mut definition: AppDefinition,
    by: Actor,
) -> Result<AppId, StoreRefusal> {
    let app = AppId::generate();
    conn.build_transaction()
        .run(async |conn| {
            lock_user(conn, user).await?;
            definition.name = free_name(conn, user, &definition.name).await?;
            write(conn, user, (app, 1), &definition, by).await?;
            Ok::<_, StoreRefusal>(app)
        })
        .await
}

/// Stores another version of an app that was `base` when its editor began; an unchanged one makes none. The version.
pub async fn save(
    conn: &mut Connection,
    user: UserId,
    (app, base): (AppId, i32),
    definition: &AppDefinition,
    by: Actor,
) -> Result<i32, StoreRefusal> {
    conn.build_transaction()
        .run(async |conn| {
            lock_user(conn, user).await?;
            let row = stored(conn, user, None, Some(app)).await?.ok_or(StoreRefusal::Unknown)?;
            // First: a form that is sent twice asks for what there is.
            if row.definition.as_ref() == Some(&json!(definition)) {
                return Ok(row.current_version);
            }
            if row.current_version != base {
                return Err(StoreRefusal::Changed(row.current_version));
            }
            name_is_free(conn, user, app, &definition.name).await?;
            write(conn, user, (app, base + 1), definition, by).await?;
            Ok(base + 1)
        })
        .await
}

/// The name, or the first with a number behind it that no app has.
async fn free_name(conn: &mut AsyncPgConnection, user: UserId, name: &str) -> diesel::QueryResult<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let sql = "SELECT name FROM apps WHERE user_id = $1 AND archived_at IS NULL AND starts_with(name, $2)";
    let taken: Vec<Row> =
        statement(sql).bind::<SqlUuid, _>(user.uuid()).bind::<Text, _>(name).load(conn).await?;
    let is_free = |wanted: &String| taken.iter().all(|row| row.name != *wanted);
    let numbered = (2..).map(|number| format!("{name} {number}"));
    Ok([name.to_owned()].into_iter().chain(numbered).find(is_free).unwrap_or_else(|| name.to_owned()))
}

async fn name_is_free(
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

/// Archives an app (it takes no more runs; what there is stays), or brings it back.
pub async fn set_archived(
    conn: &mut Connection,
    user: UserId,
    app: AppId,
    archived: bool,
    by: Actor,
) -> Result<(), StoreRefusal> {
    conn.build_transaction()
        .run(async |conn| {
            lock_user(conn, user).await?;
            let row = stored(conn, user, None, Some(app)).await?.ok_or(StoreRefusal::Unknown)?;
            if row.archived == archived {
                return Ok(());
            }
            if !archived {
                name_is_free(conn, user, app, &row.name).await?;
            }
            statement("UPDATE apps SET archived_at = CASE WHEN $2 THEN capi_now() END, updated_at = capi_now() WHERE id = $1")
                .bind::<SqlUuid, _>(app.uuid())
                .bind::<Bool, _>(archived)
                .execute(conn)
                .await?;
            let action = if archived { Action::AppArchived } else { Action::AppRestored };
            audit::record(conn, user, by, action, &row.name).await?;
            Ok(())
        })
        .await
}
