//! The artifacts of runs: who may download which.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, statement};
use shared::ids::{AppId, ArtifactId, RunId, UserId};

/// An artifact, without its bytes.
#[derive(Debug, QueryableByName)]
pub struct Artifact {
    /// Its media type.
    #[diesel(sql_type = Text)]
    pub r#type: String,
    #[diesel(sql_type = Text)]
    pub title: String,
    /// In bytes.
    #[diesel(sql_type = BigInt)]
    pub size: i64,
    /// In hexadecimal digits.
    #[diesel(sql_type = Text)]
    pub sha256: String,
    /// False if the requester's link has expired.
    #[diesel(sql_type = Bool)]
    pub in_time: bool,
}

/// Who asks for an artifact.
#[derive(Debug, Clone, Copy)]
pub enum Requester {
    /// The owner, possibly with a key that is scoped to one app.
    Owner(UserId, Option<AppId>),
    /// A client with a signed link that expires at this time, in seconds since 1970.
    Link(i64),
}

/// The artifact of the run, if the requester may have it.
pub async fn find(
    db: &Db,
    run: RunId,
    artifact: ArtifactId,
    requester: Requester,
) -> Result<Option<Artifact>, DbError> {
    const SQL: &str = "
        SELECT f.type, f.title, f.size, encode(f.sha256, 'hex') AS sha256,
            ($5 IS NULL OR $5 > extract(epoch FROM capi_now())) AS in_time
        FROM artifacts f JOIN runs r ON r.id = f.run_id
        WHERE f.id = $1 AND r.id = $2 AND ($3 IS NULL OR r.user_id = $3) AND ($4 IS NULL OR r.app_id = $4)";
    let (user, app, expires) = match requester {
        Requester::Owner(user, app) => (Some(user.uuid()), app.map(AppId::uuid), None),
        Requester::Link(expires) => (None, None, Some(expires)),
    };
    db.read(|mut conn| async move {
        let mut found: Vec<Artifact> = statement(SQL)
            .bind::<SqlUuid, _>(artifact.uuid())
            .bind::<SqlUuid, _>(run.uuid())
            .bind::<Nullable<SqlUuid>, _>(user)
            .bind::<Nullable<SqlUuid>, _>(app)
            .bind::<Nullable<BigInt>, _>(expires)
            .load(&mut conn)
            .await?;
        Ok(found.pop())
    })
    .await
}
