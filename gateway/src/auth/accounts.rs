//! Accounts: made, found, given another password or plan.

use diesel::QueryableByName;
use diesel::sql_types::{Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use shared::db::{Connection, DbError, lock_user, statement};
use shared::encryption::EncryptionKey;
use shared::ids::{SessionId, UserId};
use shared::webhook_secrets::{self, SecretsError};

use super::sessions::{self, SessionToken};
use crate::audit::{self, Action, Actor};

/// Bytes of an email address (RFC 5321).
const MAX_EMAIL_BYTES: usize = 254;

/// What is wrong with an email address, in words. Nobody can tell more without writing to it.
#[must_use]
pub fn wrong_email(email: &str) -> Option<&'static str> {
    let whole = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let clean = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    (!whole || !clean || email.len() > MAX_EMAIL_BYTES)
        .then_some("must be an email address of at most 254 bytes")
}

/// Nothing where the email is taken.
const CREATE: &str = "
WITH made AS (
    INSERT INTO users (id, email, password_hash, plan) VALUES ($1, $2, $3, $4)
    ON CONFLICT (lower(email)) DO NOTHING RETURNING id
)
INSERT INTO user_slots (user_id) SELECT id FROM made";

/// Makes an account with a webhook secret. `None` if there is one with this email already.
pub async fn create(
    conn: &mut Connection,
    key: &EncryptionKey,
    (email, password_hash, plan): (&str, &str, &str),
    by: Actor,
) -> Result<Option<UserId>, SecretsError> {
    let user = UserId::generate();
    conn.transaction(async |conn| {
        let made = statement(CREATE)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Text, _>(email)
            .bind::<Text, _>(password_hash)
            .bind::<Text, _>(plan)
            .execute(conn)
            .await?;
        if made == 0 {
            return Ok(None);
        }
        webhook_secrets::rotate(conn, key, user).await?;
        audit::record(conn, user, by, Action::AccountCreated, email).await?;
        Ok(Some(user))
    })
    .await
}

/// What signing in looks at.
#[derive(QueryableByName)]
pub struct Known {
    /// Whose.
    #[diesel(sql_type = SqlUuid)]
    pub id: UserId,
    /// As stored.
    #[diesel(sql_type = Text)]
    pub password_hash: String,
}

/// The account of this email, however it is capitalised.
pub async fn find(conn: &mut Connection, email: &str) -> Result<Option<Known>, DbError> {
    let sql = "SELECT id, password_hash FROM users WHERE lower(email) = lower($1)";
    Ok(statement(sql).bind::<Text, _>(email.trim()).load(conn).await?.pop())
}

/// How an account gets another password.
pub struct NewPassword<'p> {
    /// The hash of the new one.
    pub hash: &'p str,
    /// The hash that was compared with what somebody typed: nothing is changed if it is no longer that one.
    pub instead_of: Option<&'p str>,
    /// The session that goes on, under this token.
    pub keep: Option<(SessionId, &'p SessionToken)>,
}

/// Gives the account another password and ends its sessions but the one to keep. False if it has yet another one meanwhile.
pub async fn set_password(
    conn: &mut Connection,
    user: UserId,
    new: &NewPassword<'_>,
    by: Actor,
) -> Result<bool, DbError> {
    const SET: &str =
        "UPDATE users SET password_hash = $2 WHERE id = $1 AND ($3 IS NULL OR password_hash = $3)";
    conn.build_transaction()
        .run(async |conn| {
            // Sign-ins at the same moment come before, and are ended, or after, and find another password.
            lock_user(conn, user).await?;
            let set = statement(SET)
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Text, _>(new.hash)
                .bind::<Nullable<Text>, _>(new.instead_of)
                .execute(conn)
                .await?;
            if set == 0 {
                return Ok(false);
            }
            sessions::end_others(conn, user, new.keep.map(|(session, _)| session)).await?;
            if let Some((session, token)) = new.keep {
                sessions::replace(conn, session, token).await?;
            }
            audit::record(conn, user, by, Action::PasswordChanged, "").await?;
            Ok::<_, DbError>(true)
        })
        .await
}

/// Moves the account to another plan.
pub async fn set_plan(conn: &mut Connection, user: UserId, plan: &str, by: Actor) -> Result<(), DbError> {
    conn.build_transaction()
        .run(async |conn| {
            statement("UPDATE users SET plan = $2 WHERE id = $1")
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Text, _>(plan)
                .execute(conn)
                .await?;
            audit::record(conn, user, by, Action::PlanChanged, plan).await?;
            Ok::<_, DbError>(())
        })
        .await
}
