//! Reads and checks the app that a request sends, as TOML or as JSON.

use actix_web::{HttpRequest, web};
use gateway_domain::apps::{DefinitionFile, memory_of_toml, parse_for_plan};
use gateway_domain::{FieldError, Refusal};
use shared::apps::AppDefinition;

use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{MAX_BODY, body, is_of_type, json_object, utf8};
use crate::http::limits::InFlightShare;

/// The media type of an app file (RFC 9618, IANA).
pub(super) const TOML: &str = "application/toml";

/// The checked definition in the body.
pub(super) async fn read_definition(
    request: &HttpRequest,
    payload: web::Payload,
    context: &Context,
    caller: &Caller,
) -> Result<AppDefinition, ApiError> {
    let (file, _memory) = read_file(request, payload, context, caller).await?;
    let allowed = (caller.plan.as_str(), context.plans.get(&caller.plan));
    let checked = parse_for_plan(file, context.checks(caller.user), allowed).await;
    checked.map_err(|error| Refusal::from(error).into())
}

/// The file, and the account's share of the memory that such bodies take.
async fn read_file(
    request: &HttpRequest,
    payload: web::Payload,
    context: &Context,
    caller: &Caller,
) -> Result<(DefinitionFile, InFlightShare), ApiError> {
    if is_of_type(request, "application/json") {
        let (members, _, memory) = json_object(request, payload, (&context.json, caller.user)).await?;
        return Ok((DefinitionFile::Json(members), memory));
    }
    if !is_of_type(request, TOML) {
        let message = "send the app with content-type: application/toml or application/json";
        return Err(ApiError::UnsupportedMediaType(message.to_owned()));
    }
    let bytes = body(request, payload, MAX_BODY).await?;
    let plain = utf8(&bytes).map_err(|why| {
        let error = FieldError::new("", "syntax", format!("the file {why}"));
        ApiError::from(Refusal::InvalidApp(vec![error]))
    })?;
    let text = String::from_utf8_lossy(plain).into_owned();
    let memory = context.json.take(caller.user, memory_of_toml(&text))?;
    Ok((DefinitionFile::Toml(text), memory))
}
