//! A JSON object as body: bounded, under a deadline, without duplicate keys, NUL or deep nesting. Each
//! violation is a problem; the framework's extractor would answer in plain text.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use bytes::BytesMut;
use futures_util::StreamExt;
use gateway_domain::FieldError;
use serde_json::{Map, Value};
use shared::ids::UserId;

use super::json_text::read_json;
use super::media_type::{announces_more, check_encoding, is_of_type};
use crate::http::ApiError;
use crate::http::large_body::check_unread;
use crate::http::limits::{InFlight, InFlightShare};

/// Bytes of a body.
pub const MAX_BODY: usize = 1 << 20;
const BODY_DEADLINE: Duration = Duration::from_secs(15);

/// The members of the body's object, the number of the body's bytes, and the account's share of the memory
/// that such bodies take. Not an extractor: extractors run concurrently, and a client without a valid key
/// must be refused before its body is read.
pub async fn json_object(
    request: &HttpRequest,
    payload: Payload,
    (in_flight, user): (&InFlight, UserId),
) -> Result<(Map<String, Value>, u64, InFlightShare), ApiError> {
    if !is_of_type(request, "application/json") {
        return Err(ApiError::UnsupportedMediaType(
            "send the body with content-type: application/json (a run with files: multipart/form-data)"
                .to_owned(),
        ));
    }
    let body = body(request, payload, MAX_BODY).await?;
    let (members, memory) = parse(&body)?;
    Ok((members, body.len() as u64, in_flight.take(user, memory)?))
}

/// The body, if it has at most `limit` bytes and arrives in time, and the account reads its answers.
pub async fn body(request: &HttpRequest, payload: Payload, limit: usize) -> Result<BytesMut, ApiError> {
    check_encoding(request)?;
    if announces_more(request, limit as u64) {
        return Err(ApiError::PayloadTooLarge { limit });
    }
    let body = tokio::time::timeout(BODY_DEADLINE, read(payload, limit)).await;
    let body = body.map_err(|_| ApiError::RequestTimeout)??;
    check_unread(request)?;
    Ok(body)
}

async fn read(mut payload: Payload, limit: usize) -> Result<BytesMut, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| {
            ApiError::invalid_request("the connection ended before the whole body was there; send it again")
        })?;
        if body.len() + chunk.len() > limit {
            return Err(ApiError::PayloadTooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse(body: &[u8]) -> Result<(Map<String, Value>, usize), ApiError> {
    let (value, memory) =
        read_json(body).map_err(|why| ApiError::invalid_request(format!("the body {why}")))?;
    match value {
        Value::Object(members) => Ok((members, memory)),
        _ => Err(ApiError::invalid(FieldError::new(
            "",
            "type",
            "the body must be a JSON object like {\"inputs\": {}}",
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_json_and_json_that_cannot_be_stored_are_refused() {
        let detail = |body: &str| parse(body.as_bytes()).unwrap_err().to_string();
        assert!(detail("{").contains("not valid JSON"));
        assert!(detail("[]").contains("must be a JSON object"));
        assert!(detail(r#"{"a":1,"a":2}"#).contains("appears twice"));
        assert!(detail(r#"{"a":{"b":1,"b":2}}"#).contains("appears twice"));
        assert!(detail(r#"{"a":"\u0000"}"#).contains("U+0000"));
        assert!(detail(r#"{"a":"\ud800"}"#).contains("not valid JSON"));
        assert!(detail(r#"{"a":1e999}"#).contains("out of range"));
        assert!(detail(&format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100))).contains("64 levels"));
        assert!(
            detail(&format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000))).contains("not valid JSON")
        );
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
        assert_eq!(parse(br#"{"a":[1,-2,0.5,true,null,"x"]}"#).unwrap().0.len(), 1);
    }
}
