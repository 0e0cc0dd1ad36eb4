//! The stored signing secrets of webhooks. The gateway creates and rotates them, and the dispatcher signs
//! with them.

use base64::prelude::{BASE64_STANDARD, Engine};
use diesel::QueryableByName;
use diesel::sql_types::{Binary, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::db::{DbError, lock_user, statement};
use crate::encryption::{EncryptionError, EncryptionKey};
use crate::ids::{UserId, WebhookSecretId};

/// Standard Webhooks 1.0 requires 24 to 64 random bytes.
const SECRET_BYTES: usize = 32;
const PREFIX: &str = "whsec_";

#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    #[error("the system gave no random bytes")]
    Random,
}

impl From<diesel::result::Error> for SecretsError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Returns the valid secrets, newest first: the current one and, for 24 h after a rotation, the previous one.
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
    let sql = "SELECT sealed FROM webhook_secrets
               WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > capi_now())
               ORDER BY created_at DESC";
    let rows: Vec<Row> = statement(sql).bind::<SqlUuid, _>(user.uuid()).load(conn).await?;
    let sealed: Vec<_> = rows.into_iter().map(|row| row.sealed).collect();
    let text = |raw: SecretSlice<u8>| {
        SecretString::from(format!("{PREFIX}{}", BASE64_STANDARD.encode(raw.expose_secret())))
    };
    Ok(decrypt(key, user, &sealed)?.into_iter().map(text).collect())
}

/// Decrypts the `sealed` values of the user's secrets.
///
/// After a change of CAPI_SECRET_KEY, older ones cannot be decrypted. They are left out if another one can:
/// one valid secret is enough to sign with.
pub fn decrypt(
    key: &EncryptionKey,
    user: UserId,
    sealed: &[Vec<u8>],
) -> Result<Vec<SecretSlice<u8>>, EncryptionError> {
    let decrypted =
        sealed.iter().map(|sealed| key.decrypt(user.uuid().as_bytes(), sealed).map(SecretSlice::from));
    let (decrypted, failed): (Vec<_>, Vec<_>) = decrypted.partition(Result::is_ok);
    match failed.into_iter().next() {
        Some(error) if decrypted.is_empty() => error.map(|secret| vec![secret]),
        _ => decrypted.into_iter().collect(),
    }
}

/// Creates a new current secret. The previous one stays valid for 24 h, and older ones expire now. Runs in
/// the caller's transaction, if there is one.
pub async fn rotate(
    conn: &mut AsyncPgConnection,
    key: &EncryptionKey,
    user: UserId,
) -> Result<SecretString, SecretsError> {
    let mut raw = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut raw).map_err(|_| SecretsError::Random)?;
    let encrypted = key.encrypt(user.uuid().as_bytes(), &raw)?;
    conn.transaction(async |conn| {
        lock_user(conn, user).await?;
        statement(
            "UPDATE webhook_secrets
                 SET expires_at =
                     CASE WHEN expires_at IS NULL THEN capi_now() + interval '24 hours' ELSE capi_now() END
                 WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > capi_now())",
        )
        .bind::<SqlUuid, _>(user.uuid())
        .execute(conn)
        .await?;
        statement("INSERT INTO webhook_secrets (id, user_id, sealed) VALUES ($1, $2, $3)")
            .bind::<SqlUuid, _>(WebhookSecretId::generate().uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Binary, _>(&encrypted)
            .execute(conn)
            .await
    })
    .await?;
    Ok(SecretString::from(format!("{PREFIX}{}", BASE64_STANDARD.encode(raw))))
}

/// The key bytes of a `whsec_…` secret, as a receiver has it.
#[cfg(feature = "testing")]
#[must_use]
pub fn signing_bytes(secret: &SecretString) -> Option<SecretSlice<u8>> {
    BASE64_STANDARD.decode(secret.expose_secret().strip_prefix(PREFIX)?).ok().map(Into::into)
}
