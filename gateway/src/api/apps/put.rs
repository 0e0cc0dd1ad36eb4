//! PUT /api/v1/apps/{appId}: stores another definition as the app's new version.

use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::apps::store::save;
use gateway_domain::{FieldError, Refusal};

use super::App;
use super::body::read_definition;
use super::types::AppFile;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{IfMatch, Query, if_match};

#[utoipa::path(
    put, path = "/api/v1/apps/{appId}", tag = "Apps", operation_id = "putApp", summary = "Change an app",
    description = "Stores an app file, as TOML or as JSON, as the app's new version. Runs that have started \
                   keep their version. `If-Match` names the version that the file was made from: if the app \
                   has another version meanwhile, the answer is 412 with `currentVersion` and nothing is \
                   stored. `If-Match: *` replaces any version. An unchanged definition makes no new version, \
                   whatever `If-Match` says: so the request may be sent again. Needs a key with the scope \
                   `apps:write`.",
    params(
        ("appId" = uuid::Uuid, Path, description = "The app's id"),
        ("If-Match" = String, Header, description = "The version in quotes, or `*`", example = "\"3\""),
    ),
    request_body(content((AppFile = "application/json"), (String = "application/toml"))),
    responses((status = 200, description = "The app as it is stored now", body = App)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    let app = caller.app_in_path(&request)?.ok_or(ApiError::not_found("app"))?;
    // Before the body is read: what is wrong with it tells nothing about apps of other accounts.
    App::load(&context, caller.user, app, None).await?;
    let bases = bases(&request)?;
    let definition = read_definition(&request, payload, &context, &caller).await?;
    let (account, target) = ((caller.user, &caller.quotas), (app, bases.as_deref()));
    let saved = save(&context.db, account, target, &definition, caller.actor()).await;
    let version = saved.map_err(Refusal::from)?;
    Ok(HttpResponse::Ok().json(App::load(&context, caller.user, app, Some(version)).await?))
}

/// The versions that the request may replace. `None`: any version.
fn bases(request: &HttpRequest) -> Result<Option<Vec<i32>>, ApiError> {
    match if_match(request) {
        Some(Ok(IfMatch::Any)) => Ok(None),
        // A tag that is no number is the tag of no version.
        Some(Ok(IfMatch::Tags(tags))) => Ok(Some(tags.iter().filter_map(|tag| tag.parse().ok()).collect())),
        Some(Err(())) => {
            let message = "If-Match must be the app's version in quotes, like \"3\", or *";
            Err(ApiError::invalid(FieldError::header("If-Match", "invalid", message)))
        }
        None => Err(ApiError::PreconditionRequired),
    }
}
