//! Adds to the document what holds for every endpoint, so that no handler repeats it. Pure.

use actix_web::http::Method;
use gateway_domain::accounts::Scope;
use serde_json::{Map, Value, json};

use super::{examples, schemas, variants, webhooks};
use crate::api::routes::endpoints;
use crate::api::runs::events;
use crate::http::endpoint::{Access, Endpoint};
use crate::http::problems::Problem;

/// Paths that serve the same endpoint as another path: within an app, or under an older name.
const ALIASES: [(&str, &str); 5] = [
    ("/api/agentapps", "/api/v1/apps"),
    ("/api/v1/apps/{appId}/runs", "/api/v1/runs"),
    ("/api/v1/apps/{appId}/runs/{id}", "/api/v1/runs/{id}"),
    ("/api/v1/apps/{appId}/runs/{id}/events", "/api/v1/runs/{id}/events"),
    ("/api/v1/apps/{appId}/runs/{id}/cancel", "/api/v1/runs/{id}/cancel"),
];

/// The whole document.
pub(super) fn complete(mut document: Value) -> Value {
    events::add_examples(&mut document);
    let mut paths = Map::new();
    for endpoint in endpoints().iter().filter(|endpoint| endpoint.takes_key()) {
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let documented =
            ALIASES.iter().find(|(alias, _)| *alias == endpoint.path).map_or(endpoint.path, |pair| pair.1);
        let mut operation = document["paths"][documented][&method].clone();
        if operation.is_null() {
            continue;
        }
        if documented != endpoint.path {
            make_alias(&mut operation, endpoint.path);
        }
        add_common(&mut operation, endpoint);
        let item = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        item[method] = operation;
    }
    document["paths"] = paths.into();
    variants::name_variants(&mut document["components"]["schemas"]);
    schemas::finish(&mut document["components"]["schemas"]);
    for path in ["/api/v1/runs", "/api/v1/apps/{appId}/runs"] {
        if let Some(parameters) = document["paths"][path]["get"]["parameters"].as_array_mut() {
            parameters.push(schemas::metadata_parameter());
        }
    }
    document["security"] = json!([{ "apiKey": [] }]);
    let described =
        "`Authorization: Bearer capi_…`. The roles of an operation are the scopes that the key needs.";
    document["components"]["securitySchemes"] = json!({
        "apiKey": { "type": "http", "scheme": "bearer", "description": described }
    });
    document["components"]["responses"] = responses();
    document["webhooks"] = webhooks::webhooks();
    examples::add_examples(&mut document);
    document
}

fn make_alias(operation: &mut Value, path: &str) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let within = path.contains("{appId}");
    operation["operationId"] = json!(format!("{id}{}", if within { "OfApp" } else { "Alias" }));
    if !within {
        return;
    }
    let summary = operation["summary"].as_str().unwrap_or_default();
    operation["summary"] = json!(format!("{summary}, within an app"));
    operation["tags"] = json!(["Runs of one app"]);
    if operation["requestBody"].is_object() {
        let reference = json!({ "$ref": "#/components/schemas/CreateRunOfApp" });
        operation["requestBody"]["content"]["application/json"]["schema"] = reference;
        let reference = json!({ "$ref": "#/components/schemas/CreateRunFormOfApp" });
        operation["requestBody"]["content"]["multipart/form-data"]["schema"] = reference;
    }
    let in_path = json!({
        "name": "appId", "in": "path", "required": true, "description": "The app's id",
        "schema": { "type": "string", "format": "uuid" },
    });
    if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        parameters.retain(|parameter| parameter["name"] != "appId");
        parameters.push(in_path);
    } else {
        operation["parameters"] = json!([in_path]);
    }
}

/// The problems that an endpoint can answer with, by its method and path.
fn add_common(operation: &mut Value, endpoint: &Endpoint) {
    let creates = endpoint.method == Method::POST && endpoint.path.ends_with("/runs");
    let writes_app = [Method::POST, Method::PUT].contains(&endpoint.method)
        && ["/api/v1/apps", "/api/v1/apps/{appId}"].contains(&endpoint.path);
    let has_body = creates || writes_app || endpoint.path == "/api/v1/webhooks/test";
    let named = endpoint.path.contains('{') || creates;
    for problem in Problem::ALL {
        let applies = match problem {
            Problem::InvalidRequest
            | Problem::NotAcceptable
            | Problem::Unauthorized
            | Problem::PlanRequired
            | Problem::ScopeRequired
            | Problem::RateLimited
            | Problem::Internal
            | Problem::Unavailable => true,
            Problem::NotFound => named,
            Problem::RequestTimeout | Problem::PayloadTooLarge | Problem::UnsupportedMediaType => has_body,
            Problem::QuotaExceeded => creates || writes_app,
            Problem::AppArchived
            | Problem::SearchUnavailable
            | Problem::IdempotencyConflict
            | Problem::RunDeleted
            | Problem::StoreFull
            | Problem::ExpectationFailed => creates,
            Problem::AppChanged | Problem::PreconditionRequired => endpoint.method == Method::PUT,
            Problem::DeliveryNotFinished => endpoint.path.ends_with("/redeliver"),
            Problem::RunAlreadyFinished => endpoint.path.ends_with("/cancel"),
            Problem::RunNotFinished => endpoint.method == Method::DELETE,
            Problem::RangeNotSatisfiable => endpoint.path.contains("artifacts"),
            _ => false,
        };
        if applies {
            let reference = format!("#/components/responses/{}", problem.status());
            operation["responses"][problem.status().to_string()] = json!({ "$ref": reference });
        }
    }
    add_security(operation, endpoint);
    for parameter in schemas::items_of(operation, "parameters") {
        schemas::without_null(&mut parameter["schema"]);
        schemas::close(&mut parameter["schema"]);
    }
    for answer in schemas::members_of(operation, "responses") {
        if answer.pointer("/content/*~1*").is_some() {
            answer["content"] = schemas::file_content();
        }
    }
    if let Some(answers) = operation["responses"].as_object_mut() {
        for (_, answer) in answers.iter_mut().filter(|(_, answer)| answer.get("$ref").is_none()) {
            for (name, header) in common_headers() {
                answer["headers"][name] = header;
            }
        }
    }
}

/// The scope of the key, as a role name (OpenAPI 3.1, 4.8.30).
fn add_security(operation: &mut Value, endpoint: &Endpoint) {
    let scope = endpoint.access.scope().map(Scope::as_str);
    let mut ways = vec![json!({ "apiKey": Vec::from_iter(scope) })];
    if endpoint.access == Access::KeyOrLink {
        ways.push(json!({}));
    }
    operation["security"] = ways.into();
}

fn common_headers() -> [(&'static str, Value); 3] {
    let text = |description: &str, required: bool| {
        let schema = json!({ "type": "string" });
        json!({ "description": description, "required": required, "schema": schema })
    };
    [
        ("x-request-id", text("The request's id: the id that the client sent, if it is valid", true)),
        ("RateLimit-Policy", text("The account's requests per minute", false)),
        ("RateLimit", text("Requests left, and seconds until one more is free", false)),
    ]
}

/// The header that problems with this status have beside the common ones.
const fn own_header(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("WWW-Authenticate"),
        412 => Some("ETag"),
        416 => Some("Content-Range"),
        429 | 503 => Some("Retry-After"),
        _ => None,
    }
}

/// One response for each status. It lists the codes of that status.
fn responses() -> Value {
    let mut responses = Map::new();
    for problem in Problem::ALL {
        let same: Vec<_> = Problem::ALL.iter().filter(|other| other.status() == problem.status()).collect();
        let lines: Vec<_> =
            same.iter().map(|problem| format!("`{}`: {}", problem.code(), problem.title())).collect();
        let mut headers = json!({ "x-request-id": { "required": true, "schema": { "type": "string" } } });
        if let Some(name) = own_header(problem.status()) {
            headers[name] = json!({ "required": true, "schema": { "type": "string" } });
        }
        let response = json!({
            "description": lines.join(". "),
            "headers": headers,
            "content": {
                "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } }
            },
        });
        responses.insert(problem.status().to_string(), response);
    }
    responses.into()
}

#[cfg(test)]
mod tests {
    use shared::deliveries::DeliveryError;

    use super::*;

    #[test]
    fn every_route_of_the_api_is_documented() {
        let document: Value = serde_json::from_str(crate::api::openapi::document()).unwrap();
        for endpoint in endpoints().iter().filter(|endpoint| endpoint.takes_key()) {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][endpoint.path][&method];
            assert!(
                operation["responses"]["401"].is_object(),
                "{method} {} is not documented",
                endpoint.path
            );
        }
    }

    /// The derive macro does not see names that another macro makes.
    #[test]
    fn the_errors_of_deliveries_are_documented_as_they_are_sent() {
        let document: Value = serde_json::from_str(crate::api::openapi::document()).unwrap();
        let sent: Vec<_> = DeliveryError::ALL.iter().map(|error| error.as_str()).collect();
        assert_eq!(document["components"]["schemas"]["DeliveryError"]["enum"], json!(sent));
    }
}
