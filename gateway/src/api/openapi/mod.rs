//! The OpenAPI 3.1 document. Paths and shapes come from the handlers and their types. `complete` adds what
//! holds for every endpoint: the key, the common headers and the problems.

mod complete;
mod examples;
mod schemas;
mod variants;
mod webhooks;

use std::sync::LazyLock;

use utoipa::OpenApi;

use super::runs::events::Delta;
use super::{apps, artifacts, deliveries, me, models, runs};
use crate::http::error::{FieldProblem, ProblemBody};
use shared::deliveries::{PingBody, WebhookBody};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "capi",
        description = "Runs agent apps from outside: create an API key, post inputs, get a structured result \
                       back by polling, waiting or webhook. Within v1, endpoints, optional fields, error \
                       codes and enum values may be added.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        apps::list::handle, apps::get::handle, apps::create::handle, apps::put::handle,
        apps::archive::handle, models::handle, me::handle,
        runs::create::handle, runs::list::handle, runs::get::handle, runs::events::handle,
        runs::delete::handle,
        runs::cancel::handle,
        artifacts::handle,
        deliveries::list::handle, deliveries::get::handle, deliveries::redeliver::handle,
        deliveries::test::handle,
    ),
    components(schemas(ProblemBody, FieldProblem, WebhookBody, PingBody, Delta)),
    tags(
        (name = "Runs", description = "Create runs, follow them, get what they produced"),
        (name = "Runs of one app", description = "The same within one app, as a key of that app sees them"),
        (name = "Webhooks", description = "What was sent to receivers, sending it again, and tests"),
        (name = "Apps", description = "What can be run, and app files"),
        (name = "Webhooks", description = "What capi sends"),
        (name = "Account", description = "The key's account and the installation"),
    ),
)]
struct Document;

/// The document as indented JSON.
#[must_use]
pub fn document() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let written = serde_json::to_value(Document::openapi()).unwrap_or_default();
        format!("{:#}\n", complete::complete(written))
    });
    &TEXT
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_the_one_that_was_agreed_on() {
        let agreed = include_str!("../../../../docs/openapi.json");
        assert!(
            super::document() == agreed,
            "the document changed; write it with `gateway openapi > docs/openapi.json` and review the diff"
        );
    }
}
