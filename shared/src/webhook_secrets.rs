//! Webhook signing secrets at rest. The gateway makes and rotates them, the dispatcher signs with them.

use base64::prelude::{BASE64_STANDARD, Engine};
use diesel::QueryableByName;
use diesel::sql_types::{Binary, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use secrecy::{ExposeSecret, SecretString};

use crate::db::{DbError, lock_user, statement};
use crate::encryption::{EncryptionError, EncryptionKey};
use crate::ids::{UserId, WebhookSecretId};

/// Random bytes of a secret (Standard Webhooks 1.0 asks for 24 to 64).
const SECRET_BYTES: usize = 32;
const PREFIX: &str = "whsec_";

/// Why secrets could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The key.
    #[error(transparent)]
    Seal(#[from] EncryptionError),
    /// The system's random source failed.
    #[error("no random bytes")]
    Random,
}

impl From<diesel::result::Error> for SecretsError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// The active ones, newest first: the current, and for 24 h after a rotation the one before it.
pub async fn active(
    conn: &mut AsyncPgConnection,
    key: &EncryptionKey,
    user: UserId,
) -> Result<Vec<SecretString>, SecretsError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Binary)]
        sealed: Vec<u8>,
    }
    let sql = "SELECT sealed FROM webhook_secrets WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > capi_now())
               ORDER BY created_at DESC";
    let rows: Vec<Row> = statement(sql).bind::<SqlUuid, _>(user.uuid()).load(conn).await?;
    let open = |row: Row| {
        let raw = key.open(user.uuid().as_bytes(), &row.sealed)?;
        Ok(SecretString::from(format!("{PREFIX}{}", BASE64_STANDARD.encode(raw))))
    };
    // After a change of CAPI_SECRET_KEY an old row does not open; one that does is enough to sign with.
    let (opened, failed): (Vec<_>, Vec<_>) = rows.into_iter().map(open).partition(Result::is_ok);
    match failed.into_iter().next() {
        Some(error) if opened.is_empty() => error.map(|secret| vec![secret]),
        _ => opened.into_iter().collect(),
    }
}

/// Makes a new current secret; the one before it stays valid for 24 h, older ones end now. Its own
/// transaction, or a part of the caller's.
pub async fn rotate(
    conn: &mut AsyncPgConnection,
    key: &EncryptionKey,
    user: UserId,
) -> Result<SecretString, SecretsError> {
    let mut raw = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut raw).map_err(|_| SecretsError::Random)?;
    let sealed = key.seal(user.uuid().as_bytes(), &raw)?;
    conn.transaction(async |conn| {
            lock_user(conn, user).await?;
            statement(
                "UPDATE webhook_secrets
                 SET expires_at = CASE WHEN expires_at IS NULL THEN capi_now() + interval '24 hours' ELSE capi_now() END
                 WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > capi_now())",
            )
            .bind::<SqlUuid, _>(user.uuid())
            .execute(conn)
            .await?;
            statement("INSERT INTO webhook_secrets (id, user_id, sealed) VALUES ($1, $2, $3)")
                .bind::<SqlUuid, _>(WebhookSecretId::generate().uuid())
                .bind::<SqlUuid, _>(user.uuid())
                .bind::<Binary, _>(&sealed)
                .execute(conn)
                .await
        })
        .await?;
    Ok(SecretString::from(format!("{PREFIX}{}", BASE64_STANDARD.encode(raw))))
}

/// The key bytes of a `whsec_…` secret.
#[must_use]
pub fn signing_bytes(secret: &SecretString) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(secret.expose_secret().strip_prefix(PREFIX)?).ok()
}
