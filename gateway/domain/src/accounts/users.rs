//! Users: created, found, and changed (password, plan).

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, lock_user, statement};
use shared::encryption::EncryptionKey;
use shared::ids::{ApiKeyId, AppId, SessionId, UserId};
use shared::webhook_secrets::{self, SecretsError};

use super::Scopes;
use super::audit::{self, Action, Actor};
use super::sessions::{self, SessionToken};
use crate::error::write;

/// Bytes of an email address (RFC 5321).
const MAX_EMAIL_BYTES: usize = 254;

/// The one form in which emails are stored, found and counted: without spaces around it, and with ASCII
/// letters in lower case. Other letters stay as they are. Each program and each locale changes their case
/// in its own way, and then one account would count as two. The index `users_normal_email` does the same in
/// SQL.
#[must_use]
pub fn normal_email(email: &str) -> String {
    email.trim().to_ascii_lowercase()
}

/// What is wrong with an email address, in words. Only a message sent to it could show more.
#[must_use]
pub fn wrong_email(email: &str) -> Option<&'static str> {
    let whole = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let clean = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    (!whole || !clean || email.len() > MAX_EMAIL_BYTES)
        .then_some("must be an email address of at most 254 bytes")
}

/// A user to create. It has no Debug, so that the hash cannot get into a log.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    pub email: &'a str,
    pub password_hash: &'a str,
    pub plan: &'a str,
}

/// Creates a user with a webhook secret. `None` if the email is taken.
pub async fn create(
    db: &Db,
    key: &EncryptionKey,
    new: NewUser<'_>,
    by: Actor,
) -> Result<Option<UserId>, SecretsError> {
    // No row if the email is taken.
    const SQL: &str = "
        WITH made AS (
            INSERT INTO users (id, email, password_hash, plan) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING RETURNING id
        )
        INSERT INTO user_slots (user_id) SELECT id FROM made";
    let (user, email) = (UserId::generate(), &normal_email(new.email));
    write(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                let made = statement(SQL)
                    .bind::<SqlUuid, _>(user.uuid())
                    .bind::<Text, _>(email)
                    .bind::<Text, _>(new.password_hash)
                    .bind::<Text, _>(new.plan)
                    .execute(conn)
                    .await?;
                if made == 0 {
                    return Ok(None);
                }
                webhook_secrets::rotate(conn, key, user).await?;
                audit::record(conn, user, by, Action::AccountCreated, email).await?;
                Ok::<_, SecretsError>(Some(user))
            })
            .await
    })
    .await
}

/// What a sign-in reads. It has no Debug, so that the hash cannot get into a log.
#[derive(QueryableByName)]
pub struct Credentials {
    #[diesel(sql_type = SqlUuid)]
    pub id: UserId,
    #[diesel(sql_type = Text)]
    pub password_hash: String,
}

/// The user whose email has the same normal form.
pub async fn find(db: &Db, email: &str) -> Result<Option<Credentials>, DbError> {
    const SQL: &str = "SELECT id, password_hash FROM users WHERE lower(email COLLATE \"C\") = $1";
    let email = &normal_email(email);
    db.read(|mut conn| async move { Ok(statement(SQL).bind::<Text, _>(email).load(&mut conn).await?.pop()) })
        .await
}

/// The name of the user's plan.
pub async fn plan(db: &Db, user: UserId) -> Result<String, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        plan: String,
    }
    const SQL: &str = "SELECT plan FROM users WHERE id = $1";
    let reading = db.read(|mut conn| async move {
        let row: Row = statement(SQL).bind::<SqlUuid, _>(user.uuid()).get_result(&mut conn).await?;
        Ok(row)
    });
    Ok(reading.await?.plan)
}

/// A user and one of its keys, as `GET /api/v1/me` shows them.
#[derive(Debug, QueryableByName)]
pub struct KeyOwner {
    #[diesel(sql_type = Text)]
    pub email: String,
    #[diesel(sql_type = Text)]
    pub plan: String,
    #[diesel(sql_type = Text)]
    pub key_name: String,
    #[diesel(sql_type = Text)]
    pub display_prefix: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub app_id: Option<AppId>,
    #[diesel(sql_type = Array<Text>)]
    scopes: Vec<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub expires_at: Option<DateTime<Utc>>,
}

impl KeyOwner {
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        Scopes::stored(&self.scopes)
    }
}

/// The owner of an existing key.
pub async fn of_key(db: &Db, key: ApiKeyId) -> Result<KeyOwner, DbError> {
    const SQL: &str = "
        SELECT u.email, u.plan, k.name AS key_name, k.display_prefix, k.app_id, k.scopes, k.expires_at
        FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.id = $1";
    db.read(|mut conn| async move {
        Ok(statement(SQL).bind::<SqlUuid, _>(key.uuid()).get_result(&mut conn).await?)
    })
    .await
}

/// A password change.
#[derive(Clone, Copy)]
pub struct NewPassword<'a> {
    /// The hash of the new password.
    pub hash: &'a str,
    /// The stored hash that the old password was compared with. If the stored hash is another one by now,
    /// nothing changes.
    pub instead_of: Option<&'a str>,
    /// The session that continues, and its new token.
    pub keep: Option<(SessionId, &'a SessionToken)>,
}

/// Sets a new password and ends all sessions except `keep`. Returns false if the password changed
/// concurrently.
pub async fn set_password(db: &Db, user: UserId, new: NewPassword<'_>, by: Actor) -> Result<bool, DbError> {
    const SQL: &str =
        "UPDATE users SET password_hash = $2 WHERE id = $1 AND ($3 IS NULL OR password_hash = $3)";
    db.write(|mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                // A concurrent sign-in either commits first and is ended here, or waits and finds the new
                // password.
                lock_user(conn, user).await?;
                let set = statement(SQL)
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
    })
    .await
}

/// Moves the user to another plan.
pub async fn set_plan(db: &Db, user: UserId, plan: &str, by: Actor) -> Result<(), DbError> {
    db.write(|mut conn| async move {
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
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_have_one_normal_form() {
        assert_eq!(normal_email(" Ada@Example.COM\n"), "ada@example.com");
        // PostgreSQL makes `i` of the first, and Rust `i` with a dot above.
        assert_eq!(normal_email("\u{130}@\u{c4}.example"), "\u{130}@\u{c4}.example");
        assert_eq!(normal_email(&normal_email("\u{130}A@B")), normal_email("\u{130}A@B"));
    }
}
