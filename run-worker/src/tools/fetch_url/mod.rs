//! `fetch_url`: the readable text of a public page. The URL is the model's, and the model may have it from anybody: what it may reach is
//! decided for every address of every hop, right before the connection (see `client`).

mod client;
mod readable;
mod text;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use shared::net::ip_policy::IpPolicy;
use shared::runs::ErrorCode;
use shared::text::CleanText;

use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use client::{FetchClient, Page};
use readable::readable;

/// Bytes of a page's text that are kept in memory; the model is sent fewer.
const MAX_TEXT_BYTES: usize = 256 * 1024;

pub(super) struct FetchUrl {
    spec: Spec,
    policy: IpPolicy,
    /// Built with the first call: most workers' apps fetch nothing.
    client: OnceLock<FetchClient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    url: String,
}

impl FetchUrl {
    pub(super) fn new(policy: IpPolicy) -> Self {
        let spec = Spec {
            name: "fetch_url",
            description: "Fetches a public web page by its http or https URL and returns its readable text with its links. HTML, plain text, \
                          JSON and XML only; no scripts are run, nothing is sent.",
            parameters: json!({
                "type": "object",
                "properties": {"url": {"type": "string", "description": "An absolute URL, for example https://example.com/page"}},
                "required": ["url"],
                "additionalProperties": false,
            }),
            repeatable: true,
            files: Files::None,
            timeout: Duration::from_secs(25),
            max_result_bytes: 48 * 1024,
        };
        Self { spec, policy, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&FetchClient, ToolError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let built = FetchClient::new(self.policy.clone()).map_err(|error| {
            tracing::error!(%error, "fetch_url has no client");
            ToolError::Fatal(ErrorCode::ToolError, "no web client can be made".to_owned())
        })?;
        Ok(self.client.get_or_init(|| built))
    }

    async fn fetch(&self, invocation: Invocation) -> Result<Output, ToolError> {
        let Arguments { url } = arguments::read(invocation.arguments)?;
        let client = self.client()?;
        let page = client.get(&url).await.map_err(ToolError::RespondToModel)?;
        // A large page takes a while: not on a thread that others need.
        let text = tokio::task::spawn_blocking(move || shown(page)).await;
        let text = text.map_err(|_| ToolError::RespondToModel("The page cannot be read.".to_owned()))?;
        Ok(Output { text, artifact: None })
    }
}

fn shown(page: Page) -> String {
    let text = if page.is_html { readable(&page.text, &page.url) } else { page.text };
    let text = CleanText::new(text.trim(), MAX_TEXT_BYTES);
    let cut = if page.is_cut { "\n[the page is longer than was read]" } else { "" };
    format!("URL: {}\nStatus: {}\n\n{text}{cut}", page.url, page.status)
}

impl Tool for FetchUrl {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.fetch(invocation).boxed()
    }
}
