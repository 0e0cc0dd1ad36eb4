//! Webhooks: the secret that they are signed with, revealed and rotated.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use secrecy::{ExposeSecret, SecretString};
use shared::db::{Connection, DbError};
use shared::ids::UserId;
use shared::sealed::SealingKey;
use shared::webhook_secrets::{self, SecretsError};

use super::super::form::Form;
use super::super::page::{Frame, show};
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
    rotated: bool,
    /// Two are valid for a day after a rotation.
    active: usize,
}

/// GET /account/webhooks
pub(in crate::console) async fn page(
    visitor: Visitor,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (key, user) = (&context.console.sealing, visitor.user());
    let active =
        secrets(&context, |mut conn| async move { webhook_secrets::active(&mut conn, key, user).await });
    let active = active.await?.len();
    show(&Page {
        frame: Tab::Webhooks.frame(&visitor),
        tab: Tab::Webhooks,
        secret: None,
        rotated: false,
        active,
    })
}

/// POST /account/webhooks/reveal
pub(in crate::console) async fn reveal(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    let (key, user, by) = (&context.console.sealing, visitor.user(), visitor.actor());
    let active = secrets(&context, |mut conn| async move {
        audit::record(&mut conn, user, by, Action::SecretRevealed, "").await?;
        webhook_secrets::active(&mut conn, key, user).await
    });
    shown(&visitor, &active.await?, false)
}

/// POST /account/webhooks/rotate
pub(in crate::console) async fn rotate(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    let (key, user, by) = (&context.console.sealing, visitor.user(), visitor.actor());
    let active = secrets(&context, |conn| renew(conn, key, user, by));
    shown(&visitor, &active.await?, true)
}

async fn renew(
    mut conn: Connection,
    key: &SealingKey,
    user: UserId,
    by: Actor,
) -> Result<Vec<SecretString>, SecretsError> {
    conn.build_transaction()
        .run(async |conn| {
            webhook_secrets::rotate(conn, key, user).await?;
            audit::record(conn, user, by, Action::SecretRotated, "").await?;
            Ok::<_, SecretsError>(())
        })
        .await?;
    webhook_secrets::active(&mut conn, key, user).await
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

fn shown(visitor: &Visitor, active: &[SecretString], rotated: bool) -> Result<HttpResponse, ApiError> {
    let secret = active.first().map(|secret| secret.expose_secret().to_owned());
    show(&Page {
        frame: Tab::Webhooks.frame(visitor),
        tab: Tab::Webhooks,
        secret,
        rotated,
        active: active.len(),
    })
}
