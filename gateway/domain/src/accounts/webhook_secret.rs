//! The secrets that sign an account's webhooks, as their owner sees them. `shared::webhook_secrets` stores
//! them.

use diesel::QueryableByName;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;
use shared::db::{Db, DbError, lock_user, statement};
use shared::encryption::EncryptionKey;
use shared::ids::UserId;
use shared::webhook_secrets::{self, SecretsError};

use super::audit::{self, Action, Actor};
use crate::error::{StoreError, write};

impl StoreError for SecretsError {
    fn into_db(self) -> Result<DbError, Self> {
        match self {
            Self::Db(error) => Ok(error),
            other => Err(other),
        }
    }
}

/// The active secrets of an account.
pub struct ActiveSecrets {
    /// Newest first; two for 24 hours after a rotation. Empty if CAPI_SECRET_KEY changed: then only a
    /// rotation helps.
    pub secrets: Vec<SecretString>,
    /// The id of the current one. Empty if there is none.
    pub current: String,
}

/// Reads the secrets without showing them to a person. If none can be decrypted, the list is empty: the page
/// then offers a rotation.
pub async fn active(db: &Db, key: &EncryptionKey, user: UserId) -> Result<ActiveSecrets, SecretsError> {
    write(db, |mut conn| async move {
        match read(&mut conn, key, user).await {
            Err(SecretsError::Encryption(error)) => {
                tracing::warn!(%error, user_id = %user, "failed to decrypt a webhook secret");
                Ok(ActiveSecrets { secrets: Vec::new(), current: current(&mut conn, user).await? })
            }
            read => read,
        }
    })
    .await
}

/// Reads the secrets to show one, which the audit log records.
pub async fn reveal(
    db: &Db,
    key: &EncryptionKey,
    user: UserId,
    by: Actor,
) -> Result<ActiveSecrets, SecretsError> {
    write(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                let active = read(conn, key, user).await?;
                if !active.secrets.is_empty() {
                    audit::record(conn, user, by, Action::SecretRevealed, "").await?;
                }
                Ok::<_, SecretsError>(active)
            })
            .await
    })
    .await
}

/// Makes a new secret; the old one stays valid for 24 hours. With `seen`, the id that the page showed, a
/// repeated request changes nothing: a second rotation would end the secret that receivers still use. Returns
/// the new secret.
pub async fn rotate(
    db: &Db,
    key: &EncryptionKey,
    user: UserId,
    seen: Option<&str>,
    by: Actor,
) -> Result<Option<SecretString>, SecretsError> {
    write(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                lock_user(conn, user).await?;
                if let Some(seen) = seen
                    && current(conn, user).await? != seen
                {
                    return Ok(None);
                }
                let secret = webhook_secrets::rotate(conn, key, user).await?;
                audit::record(conn, user, by, Action::SecretRotated, "").await?;
                Ok::<_, SecretsError>(Some(secret))
            })
            .await
    })
    .await
}

async fn read(
    conn: &mut AsyncPgConnection,
    key: &EncryptionKey,
    user: UserId,
) -> Result<ActiveSecrets, SecretsError> {
    let secrets = webhook_secrets::active(conn, key, user).await?;
    Ok(ActiveSecrets { secrets, current: current(conn, user).await? })
}

async fn current(conn: &mut AsyncPgConnection, user: UserId) -> diesel::QueryResult<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        id: String,
    }
    let sql = "SELECT id::text AS id FROM webhook_secrets WHERE user_id = $1 AND expires_at IS NULL";
    let found: Vec<Row> = statement(sql).bind::<SqlUuid, _>(user.uuid()).load(conn).await?;
    Ok(found.into_iter().next().map_or_else(String::new, |row| row.id))
}
