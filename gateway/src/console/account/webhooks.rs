//! Webhooks: the secret that they are signed with, revealed and rotated.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use diesel::QueryableByName;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::{ExposeSecret, SecretString};
use shared::db::{Connection, DbError, lock_user, statement};
use shared::encryption::EncryptionKey;
use shared::ids::UserId;
use shared::webhook_secrets::{self, SecretsError};

use super::super::form::Form;
use super::super::page::{Frame, see_other, show};
use super::super::visitor::Visitor;
use super::Tab;
use crate::audit::{self, Action, Actor};
use crate::context::Context;
use crate::error::ApiError;

#[derive(Template)]
#[template(path = "account/webhooks.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    secret: Option<String>,
    /// Two are valid for a day after a rotation.
    active: usize,
    /// The id of the one that is current.
    seen: String,
}

/// GET /account/webhooks
pub(in crate::console) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [(
        "rotated",
        "There is a new secret. The one before it stays valid for 24 hours: put the new one into your receivers meanwhile.",
    )];
    let (key, user) = (&context.console.encryption_key, visitor.user());
    let reading = secrets(&context, |mut conn| async move {
        Ok((readable(&mut conn, key, user).await?.len(), current(&mut conn, user).await?))
    });
    let (active, seen) = reading.await?;
    let frame = Tab::Webhooks.frame(&visitor).noticing(&request, &NOTICES);
    show(&Page { frame, tab: Tab::Webhooks, secret: None, active, seen })
}

/// POST /account/webhooks/reveal
pub(in crate::console) async fn reveal(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    let (key, user, by) = (&context.console.encryption_key, visitor.user(), visitor.actor());
    let reading = secrets(&context, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                let active = readable(conn, key, user).await?;
                if !active.is_empty() {
                    audit::record(conn, user, by, Action::SecretRevealed, "").await?;
                }
                Ok::<_, SecretsError>((active, current(conn, user).await?))
            })
            .await
    });
    let (active, seen) = reading.await?;
    let count = active.len();
    let secret = active.into_iter().next().map(|secret| secret.expose_secret().to_owned());
    show(&Page { frame: Tab::Webhooks.frame(&visitor), tab: Tab::Webhooks, secret, active: count, seen })
}

/// POST /account/webhooks/rotate: once for each time that the page was opened. Rotating twice would end the secret that receivers
/// have still at once, and a form may be sent again by a reload.
pub(in crate::console) async fn rotate(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    let (key, user, by) = (&context.console.encryption_key, visitor.user(), visitor.actor());
    let seen = form.text("seen");
    secrets(&context, |conn| renew(conn, key, user, seen, by)).await?;
    Ok(see_other("/account/webhooks?done=rotated"))
}

async fn renew(
    mut conn: Connection,
    key: &EncryptionKey,
    user: UserId,
    seen: &str,
    by: Actor,
) -> Result<(), SecretsError> {
    conn.build_transaction()
        .run(async |conn| {
            lock_user(conn, user).await?;
            if current(conn, user).await? == seen {
                webhook_secrets::rotate(conn, key, user).await?;
                audit::record(conn, user, by, Action::SecretRotated, "").await?;
            }
            Ok::<_, SecretsError>(())
        })
        .await
}

/// Those that can be read: none after a change of CAPI_SECRET_KEY, and then only another one helps.
async fn readable(
    conn: &mut AsyncPgConnection,
    key: &EncryptionKey,
    user: UserId,
) -> Result<Vec<SecretString>, SecretsError> {
    match webhook_secrets::active(conn, key, user).await {
        Err(SecretsError::Seal(error)) => {
            tracing::warn!(%error, user_id = %user, "a webhook secret cannot be read");
            Ok(Vec::new())
        }
        read => read,
    }
}

/// The id of the secret that is current; empty where there is none.
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

/// Work on secrets, of which only the database's part can be done again.
async fn secrets<T, Work: Future<Output = Result<T, SecretsError>>>(
    context: &Context,
    work: impl Fn(Connection) -> Work,
) -> Result<T, ApiError> {
    let working = context.db.write(|conn| async {
        match work(conn).await {
            Err(SecretsError::Db(error)) => Err::<_, DbError>(error),
            done => Ok(done),
        }
    });
    working.await?.map_err(|error| ApiError::fault(&error))
}
