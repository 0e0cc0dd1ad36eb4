//! POST /api/v1/apps: creates an app.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::Refusal;
use gateway_domain::apps::store::create_named;

use super::App;
use super::body::read_definition;
use super::types::AppFile;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

#[utoipa::path(
    post, path = "/api/v1/apps", tag = "Apps", operation_id = "createApp", summary = "Create an app",
    description = "Creates an app from an app file, as TOML or as JSON. Names are unique among the account's \
                   apps that are not archived. If the app of that name has the same definition, nothing is \
                   created and the answer is 200 with that app: so the request may be sent again. Needs a \
                   key with the scope `apps:write` that is not for one app.",
    request_body(content((AppFile = "application/json"), (String = "application/toml"))),
    responses(
        (status = 201, description = "Created", body = App, headers(
            ("Location" = String, description = "The app"),
        )),
        (status = 200, description = "The app exists already, with the same definition", body = App),
    ),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    if caller.app.is_some() {
        return Err(ApiError::KeyForOneApp);
    }
    let definition = read_definition(&request, payload, &context, &caller).await?;
    let account = (caller.user, &caller.quotas);
    let created = create_named(&context.db, account, &definition, caller.actor()).await;
    let (app, new) = created.map_err(Refusal::from)?;
    let shown = App::load(&context, caller.user, app, None).await?;
    if !new {
        return Ok(HttpResponse::Ok().json(shown));
    }
    Ok(HttpResponse::Created().insert_header((LOCATION, format!("/api/v1/apps/{app}"))).json(shown))
}
