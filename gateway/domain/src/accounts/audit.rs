//! The audit log: who changed what in an account (keys, secrets, sign-ins, apps, deletions). An entry is
//! written in the transaction of the change, so the log is complete and has no entry of a change that failed.
//! It holds no secrets, inputs or results.

use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::{Db, DbError, statement};
use shared::ids::{ApiKeyId, UserId};
use uuid::Uuid;

use crate::page::Position;

/// Stored characters of a subject.
const MAX_SUBJECT_CHARS: usize = 200;

/// Who makes a change, and from which address.
#[derive(Debug, Clone, Copy)]
pub enum Actor {
    /// A user who is signed in to the console.
    Console(IpAddr),
    /// A client with an API key.
    ApiKey(ApiKeyId, IpAddr),
    /// An operator who runs the gateway's commands.
    Operator,
}

impl Actor {
    const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Console(address) | Self::ApiKey(_, address) => Some(address),
            Self::Operator => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console(_) => f.write_str("console"),
            Self::ApiKey(key, _) => write!(f, "API key {key}"),
            Self::Operator => f.write_str("operator"),
        }
    }
}

macro_rules! actions {
    ($($name:ident = $text:literal, $shown:literal;)*) => {
        /// A kind of change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($name,)* }

        impl Action {
            /// The stored name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        /// The text for people. An action that this build does not know is shown as it is stored.
        fn shown(action: &str) -> &str {
            match action { $($text => $shown,)* other => other }
        }
    };
}

actions! {
    AccountCreated = "account_created", "Account created";
    SignedIn = "signed_in", "Signed in";
    SignedOut = "signed_out", "Signed out";
    SignedOutEverywhere = "signed_out_everywhere", "Signed out everywhere";
    PasswordChanged = "password_changed", "Password changed";
    PlanChanged = "plan_changed", "Plan changed";
    KeyCreated = "key_created", "API key created";
    KeyRevoked = "key_revoked", "API key revoked";
    SecretRevealed = "secret_revealed", "Webhook secret revealed";
    SecretRotated = "secret_rotated", "Webhook secret rotated";
    AppCreated = "app_created", "App created";
    AppChanged = "app_changed", "App changed";
    AppArchived = "app_archived", "App archived";
    AppRestored = "app_restored", "App restored";
    RunDeleted = "run_deleted", "Run deleted";
}

/// Writes an entry. Part of the caller's transaction.
pub async fn record(
    conn: &mut AsyncPgConnection,
    user: UserId,
    actor: Actor,
    action: Action,
    subject: &str,
) -> diesel::QueryResult<()> {
    let subject: String = subject.chars().take(MAX_SUBJECT_CHARS).collect();
    statement(
        "INSERT INTO audit_log (id, user_id, actor, action, subject, address)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind::<SqlUuid, _>(Uuid::now_v7())
    .bind::<SqlUuid, _>(user.uuid())
    .bind::<Text, _>(actor.to_string())
    .bind::<Text, _>(action.as_str())
    .bind::<Text, _>(subject)
    .bind::<Nullable<Text>, _>(actor.address().map(|address| address.to_string()))
    .execute(conn)
    .await?;
    Ok(())
}

/// An entry of the log.
#[derive(Debug, Clone, QueryableByName)]
pub struct Entry {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub actor: String,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Text)]
    pub subject: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
}

impl Entry {
    /// What was changed, for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        shown(&self.action)
    }

    #[must_use]
    pub fn position(&self) -> Position {
        Position { at: self.at, id: self.id }
    }
}

/// The account's log, newest first.
pub async fn list(db: &Db, user: UserId, after: Option<Position>, rows: i64) -> Result<Vec<Entry>, DbError> {
    // The name of a key says more than its id.
    const SQL: &str = "
        SELECT l.id, l.at, l.action, l.subject, l.address, coalesce('API key ' || k.name, l.actor) AS actor
        FROM audit_log l LEFT JOIN api_keys k ON l.actor = 'API key ' || k.id AND k.user_id = l.user_id
        WHERE l.user_id = $1 AND ($2 IS NULL OR (l.at, l.id) < ($2, $3))
        ORDER BY l.at DESC, l.id DESC LIMIT $4";
    db.read(|mut conn| async move {
        Ok(statement(SQL)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Nullable<Timestamptz>, _>(after.map(|position| position.at))
            .bind::<Nullable<SqlUuid>, _>(after.map(|position| position.id))
            .bind::<BigInt, _>(rows)
            .load(&mut conn)
            .await?)
    })
    .await
}
