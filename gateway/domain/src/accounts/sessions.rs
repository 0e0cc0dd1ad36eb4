//! Sessions of the console. The browser holds a random token, the database its hash. Each sign-in makes a new
//! token, and each token is replaced once a day. The previous token stays valid until the browser has sent
//! the new one, and at least for a minute: a lost response must not sign the user out.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Db, DbError, lock_user, statement};
use shared::ids::{SessionId, UserId};

use super::KeyHash;
use super::api_key::sha256;
use super::audit::{self, Action, Actor};
use crate::Refusal;

const TOKEN_BYTES: usize = 32;
/// Sessions of one account. A further sign-in ends the session that was idle longest.
const MAX_SESSIONS: i32 = 50;

/// A session ends after 14 days without a request, and in any case after 90 days.
macro_rules! alive {
    () => {
        "s.last_seen_at > capi_now() - interval '14 days' AND s.created_at > capi_now() - interval '90 days'"
    };
}

/// The token in the browser's cookie. It has no Debug or Display, so that it cannot get into a log.
pub struct SessionToken(String);

impl SessionToken {
    /// A random token.
    pub fn generate() -> Result<Self, Refusal> {
        let mut bytes = [0; TOKEN_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|error| Refusal::fault(&error))?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The token in a cookie, if it has the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == TOKEN_BYTES).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn sha256(&self) -> KeyHash {
        sha256(&self.0)
    }
}

/// A session with its user.
#[derive(Debug, Clone, QueryableByName)]
pub struct Session {
    #[diesel(sql_type = SqlUuid)]
    pub id: SessionId,
    #[diesel(sql_type = SqlUuid)]
    pub user: UserId,
    #[diesel(sql_type = Text)]
    pub email: String,
    #[diesel(sql_type = Text)]
    pub plan: String,
    /// Whether its token is older than a day.
    #[diesel(sql_type = Bool)]
    pub due: bool,
    /// Webhooks of the last 7 days that were given up, counted up to 100.
    #[diesel(sql_type = BigInt)]
    pub failed_deliveries: i64,
}

const FIND: &str = concat!(
    "WITH found AS (
    SELECT s.id, s.user_id, s.last_seen_at, s.rotated_at < capi_now() - interval '1 day' AS due,
           s.sha256 = $1 AND s.previous_sha256 IS NOT NULL
               AND s.rotated_at < capi_now() - interval '1 minute' AS arrived
    FROM sessions s
    WHERE (s.sha256 = $1 OR s.previous_sha256 = $1) AND ",
    alive!(),
    "), touched AS (
    UPDATE sessions s SET last_seen_at = capi_now(),
        previous_sha256 = CASE WHEN found.arrived AND s.sha256 = $1 THEN NULL ELSE s.previous_sha256 END
    FROM found
    WHERE s.id = found.id AND (found.arrived OR found.last_seen_at < capi_now() - interval '1 minute')
)
SELECT f.id, f.user_id AS \"user\", u.email, u.plan, f.due, (
    SELECT count(*) FROM (
        SELECT 1 FROM webhook_deliveries d
        WHERE d.user_id = f.user_id AND d.status = 'failed' AND d.type <> 'ping'
          AND d.created_at > (SELECT capi_now() - interval '7 days') LIMIT 100) failed) AS failed_deliveries
FROM found f JOIN users u ON u.id = f.user_id"
);

/// The session of this token, if it is alive. One statement, committed by itself.
pub async fn find(db: &Db, token: &SessionToken) -> Result<Option<Session>, DbError> {
    let hash = &token.sha256();
    db.read(|mut conn| async move {
        Ok(statement(FIND).bind::<Binary, _>(hash.as_slice()).load(&mut conn).await?.pop())
    })
    .await
}

/// Starts a session and deletes expired ones. Returns false if the account's password hash is no longer
/// `password_hash`, which the sign-in was checked against.
pub async fn start(
    db: &Db,
    user: UserId,
    password_hash: &str,
    token: &SessionToken,
    by: Actor,
) -> Result<bool, DbError> {
    const INSERT: &str = "
        INSERT INTO sessions (id, user_id, sha256)
        SELECT $1, u.id, $3 FROM users u WHERE u.id = $2 AND u.password_hash = $4";
    let hash = &token.sha256();
    db.write(|mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                lock_user(conn, user).await?;
                make_room(conn, user).await?;
                let started = statement(INSERT)
                    .bind::<SqlUuid, _>(SessionId::generate().uuid())
                    .bind::<SqlUuid, _>(user.uuid())
                    .bind::<Binary, _>(hash.as_slice())
                    .bind::<Text, _>(password_hash)
                    .execute(conn)
                    .await?;
                if started == 1 {
                    audit::record(conn, user, by, Action::SignedIn, "").await?;
                }
                Ok::<_, DbError>(started == 1)
            })
            .await
    })
    .await
}

/// Deletes a batch of expired sessions of all accounts, and sessions of this account over [`MAX_SESSIONS`].
async fn make_room(conn: &mut AsyncPgConnection, user: UserId) -> diesel::QueryResult<()> {
    const DELETE_EXPIRED: &str = "
        DELETE FROM sessions d USING (
            SELECT id FROM sessions WHERE last_seen_at < (SELECT capi_now() - interval '14 days')
            ORDER BY last_seen_at LIMIT $1 FOR UPDATE SKIP LOCKED) over
        WHERE d.id = over.id";
    const BATCH: i64 = 100;
    const DELETE_OLDEST: &str = concat!(
        "DELETE FROM sessions d USING (
            SELECT s.id FROM sessions s WHERE s.user_id = $1 AND NOT (",
        alive!(),
        ") UNION (
            SELECT s.id FROM sessions s WHERE s.user_id = $1 ORDER BY s.last_seen_at DESC OFFSET $2)) over
         WHERE d.id = over.id"
    );
    statement(DELETE_EXPIRED).bind::<BigInt, _>(BATCH).execute(conn).await?;
    statement(DELETE_OLDEST)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Integer, _>(MAX_SESSIONS - 1)
        .execute(conn)
        .await?;
    Ok(())
}

/// Replaces the token of a session. Returns false if a concurrent request has replaced it.
pub async fn rotate(db: &Db, old: &SessionToken, new: &SessionToken) -> Result<bool, DbError> {
    const SQL: &str = "
        UPDATE sessions SET previous_sha256 = $1, sha256 = $2, rotated_at = capi_now()
        WHERE (sha256 = $1 OR previous_sha256 = $1) AND rotated_at < capi_now() - interval '1 day'";
    let (old, new) = (&old.sha256(), &new.sha256());
    let rotated = db.write(|mut conn| async move {
        Ok(statement(SQL)
            .bind::<Binary, _>(old.as_slice())
            .bind::<Binary, _>(new.as_slice())
            .execute(&mut conn)
            .await?)
    });
    Ok(rotated.await? == 1)
}

/// Gives a session a new token and makes the previous token invalid. Part of the caller's transaction.
pub(super) async fn replace(
    conn: &mut AsyncPgConnection,
    session: SessionId,
    new: &SessionToken,
) -> diesel::QueryResult<()> {
    let sql =
        "UPDATE sessions SET previous_sha256 = NULL, sha256 = $2, rotated_at = capi_now() WHERE id = $1";
    statement(sql)
        .bind::<SqlUuid, _>(session.uuid())
        .bind::<Binary, _>(new.sha256().as_slice())
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends one session.
pub async fn end(db: &Db, session: &Session, by: Actor) -> Result<(), DbError> {
    let (user, session) = (session.user, session.id);
    db.write(|mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                let ended = statement("DELETE FROM sessions WHERE id = $1")
                    .bind::<SqlUuid, _>(session.uuid())
                    .execute(conn)
                    .await?;
                if ended == 1 {
                    audit::record(conn, user, by, Action::SignedOut, "").await?;
                }
                Ok::<_, DbError>(())
            })
            .await
    })
    .await
}

/// Ends all sessions of the account.
pub async fn end_all(db: &Db, user: UserId, by: Actor) -> Result<(), DbError> {
    db.write(|mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                if end_others(conn, user, None).await? > 0 {
                    audit::record(conn, user, by, Action::SignedOutEverywhere, "").await?;
                }
                Ok::<_, DbError>(())
            })
            .await
    })
    .await
}

/// Ends the account's sessions except `keep`. Part of the caller's transaction.
pub(super) async fn end_others(
    conn: &mut AsyncPgConnection,
    user: UserId,
    keep: Option<SessionId>,
) -> diesel::QueryResult<usize> {
    statement("DELETE FROM sessions WHERE user_id = $1 AND ($2 IS NULL OR id <> $2)")
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(keep.map(SessionId::uuid))
        .execute(conn)
        .await
}

/// Whether the session is alive.
pub async fn is_alive(db: &Db, session: SessionId) -> Result<bool, DbError> {
    const SQL: &str = concat!("SELECT 1 FROM sessions s WHERE s.id = $1 AND ", alive!());
    let found = db.read(|mut conn| async move {
        Ok(statement(SQL).bind::<SqlUuid, _>(session.uuid()).execute(&mut conn).await?)
    });
    Ok(found.await? == 1)
}

/// The number of sessions that are alive.
pub async fn count(db: &Db, user: UserId) -> Result<i64, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        sessions: i64,
    }
    const SQL: &str =
        concat!("SELECT count(*) AS sessions FROM sessions s WHERE s.user_id = $1 AND ", alive!());
    let counting = db.read(|mut conn| async move {
        let row: Row = statement(SQL).bind::<SqlUuid, _>(user.uuid()).get_result(&mut conn).await?;
        Ok(row)
    });
    Ok(counting.await?.sessions)
}
