//! Sessions of the console. A browser holds a random token, the database its hash. A token is made at each sign-in, never
//! taken over from a browser, and replaced once a day. The one before it is good until the browser has come with the new one,
//! and for requests that were under way a minute at least: an answer that is lost signs nobody out.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Connection, DbError, lock_user, statement};
use shared::ids::{SessionId, UserId};

use super::KeyHash;
use super::api_key::sha256;
use crate::audit::{self, Action, Actor};

const TOKEN_BYTES: usize = 32;
/// Sessions of one account: another sign-in ends the one that was idle longest.
const MAX_SESSIONS: i32 = 50;

/// Days without a request after which a session is over, and days after which it is over in any case.
macro_rules! alive {
    () => {
        "s.last_seen_at > capi_now() - interval '14 days' AND s.created_at > capi_now() - interval '90 days'"
    };
}

/// What a browser holds. Has no Debug or Display: it must not get into a log.
pub struct SessionToken(String);

impl SessionToken {
    /// A new random one; `None` where the system has no random bytes.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What a cookie says, if it can be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == TOKEN_BYTES).then(|| Self(text.to_owned()))
    }

    /// For the cookie.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored, and what in-process tables hold.
    #[must_use]
    pub fn sha256(&self) -> KeyHash {
        sha256(&self.0)
    }
}

/// A session and whose it is.
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
    /// Whether its token is a day old.
    #[diesel(sql_type = Bool)]
    pub due: bool,
}

const FIND: &str = concat!(
    "WITH found AS (
    SELECT s.id, s.user_id, s.last_seen_at, s.rotated_at < capi_now() - interval '1 day' AS due,
           s.sha256 = $1 AND s.previous_sha256 IS NOT NULL AND s.rotated_at < capi_now() - interval '1 minute' AS arrived
    FROM sessions s
    WHERE (s.sha256 = $1 OR s.previous_sha256 = $1) AND ",
    alive!(),
    "), touched AS (
    UPDATE sessions s SET last_seen_at = capi_now(), previous_sha256 = CASE WHEN found.arrived AND s.sha256 = $1 THEN NULL ELSE s.previous_sha256 END
    FROM found WHERE s.id = found.id AND (found.arrived OR found.last_seen_at < capi_now() - interval '1 minute')
)
SELECT f.id, f.user_id AS \"user\", u.email, u.plan, f.due FROM found f JOIN users u ON u.id = f.user_id"
);

/// The session of this token, if it goes on. One statement, committed by itself.
pub async fn find(conn: &mut Connection, token: &SessionToken) -> Result<Option<Session>, DbError> {
    Ok(statement(FIND).bind::<Binary, _>(token.sha256().as_slice()).load(conn).await?.pop())
}

/// Begins one, and forgets what is over. False if the account's password is no longer the one of this hash, which somebody was
/// let in for.
pub async fn begin(
    conn: &mut Connection,
    user: UserId,
    password_hash: &str,
    token: &SessionToken,
    by: Actor,
) -> Result<bool, DbError> {
    const ROOM: &str = concat!(
        "DELETE FROM sessions d USING (
            SELECT s.id FROM sessions s WHERE s.user_id = $1 AND NOT (",
        alive!(),
        ") UNION (SELECT s.id FROM sessions s WHERE s.user_id = $1 ORDER BY s.last_seen_at DESC OFFSET $2)) over
         WHERE d.id = over.id"
    );
    const INSERT: &str = "INSERT INTO sessions (id, user_id, sha256) SELECT $1, u.id, $3 FROM users u WHERE u.id = $2 AND u.password_hash = $4";
    conn.build_transaction()
        .run(async |conn| {
            lock_user(conn, user).await?;
            statement(FORGET).bind::<BigInt, _>(FORGOTTEN_AT_ONCE).execute(conn).await?;
            statement(ROOM)
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Integer, _>(MAX_SESSIONS - 1)
                .execute(conn)
                .await?;
            let begun = statement(INSERT)
                .bind::<SqlUuid, _>(SessionId::generate().uuid())
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Binary, _>(token.sha256().as_slice())
                .bind::<Text, _>(password_hash)
                .execute(conn)
                .await?;
            if begun == 1 {
                audit::record(conn, user, by, Action::SignedIn, "").await?;
            }
            Ok::<_, DbError>(begun == 1)
        })
        .await
}

/// Sessions of anybody that nobody came back to.
const FORGET: &str = "
DELETE FROM sessions d USING (
    SELECT id FROM sessions WHERE last_seen_at < (SELECT capi_now() - interval '14 days')
    ORDER BY last_seen_at LIMIT $1 FOR UPDATE SKIP LOCKED) over
WHERE d.id = over.id";
const FORGOTTEN_AT_ONCE: i64 = 100;

/// Replaces the token of a session. False if another request has done so.
pub async fn rotate(conn: &mut Connection, old: &SessionToken, new: &SessionToken) -> Result<bool, DbError> {
    let sql = "UPDATE sessions SET previous_sha256 = $1, sha256 = $2, rotated_at = capi_now()
               WHERE (sha256 = $1 OR previous_sha256 = $1) AND rotated_at < capi_now() - interval '1 day'";
    let rotated = statement(sql)
        .bind::<Binary, _>(old.sha256().as_slice())
        .bind::<Binary, _>(new.sha256().as_slice())
        .execute(conn)
        .await?;
    Ok(rotated == 1)
}

/// Gives a session another token; the one before it is worth nothing any more. Part of the caller's transaction.
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

/// Ends one.
pub async fn end(conn: &mut Connection, session: &Session, by: Actor) -> Result<(), DbError> {
    conn.build_transaction()
        .run(async |conn| {
            let ended = statement("DELETE FROM sessions WHERE id = $1")
                .bind::<SqlUuid, _>(session.id.uuid())
                .execute(conn)
                .await?;
            if ended == 1 {
                audit::record(conn, session.user, by, Action::SignedOut, "").await?;
            }
            Ok::<_, DbError>(())
        })
        .await
}

/// Ends all of the account's.
pub async fn end_all(conn: &mut Connection, user: UserId, by: Actor) -> Result<(), DbError> {
    conn.build_transaction()
        .run(async |conn| {
            if end_others(conn, user, None).await? > 0 {
                audit::record(conn, user, by, Action::SignedOutEverywhere, "").await?;
            }
            Ok::<_, DbError>(())
        })
        .await
}

/// Ends the account's sessions but the one named; part of the caller's transaction.
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

/// Whether it goes on.
pub async fn goes_on(conn: &mut Connection, session: SessionId) -> Result<bool, DbError> {
    const LOOK: &str = concat!("SELECT 1 FROM sessions s WHERE s.id = $1 AND ", alive!());
    Ok(statement(LOOK).bind::<SqlUuid, _>(session.uuid()).execute(conn).await? == 1)
}

/// How many go on.
pub async fn count(conn: &mut Connection, user: UserId) -> Result<i64, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        sessions: i64,
    }
    const COUNT: &str =
        concat!("SELECT count(*) AS sessions FROM sessions s WHERE s.user_id = $1 AND ", alive!());
    let row: Row = statement(COUNT).bind::<SqlUuid, _>(user.uuid()).get_result(conn).await?;
    Ok(row.sessions)
}
