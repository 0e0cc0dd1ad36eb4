//! `fetch_url`: returns the readable text of a public page. Any outsider may have given the URL to the
//! model, so the client checks every address of every redirect right before it connects. The rules of the
//! app (`egress`) apply to every redirect too.

mod client;
mod readable;
mod text;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::net::ip_policy::IpPolicy;
use shared::runs::ErrorCode;
use shared::text::CleanText;

use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use client::{FetchClient, Page};
use readable::readable;

/// The model gets fewer: the result is cut to its own limit.
const MAX_TEXT_BYTES: usize = 256 * 1024;

pub(super) struct FetchUrl {
    spec: Spec,
    policy: IpPolicy,
    /// Built with the first call: most apps fetch nothing.
    client: OnceLock<FetchClient>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// An absolute URL, for example https://example.com/page
    url: String,
}

impl FetchUrl {
    pub(super) fn new(policy: IpPolicy) -> Self {
        let spec = Spec {
            name: "fetch_url",
            description: "Fetches a public web page by its http or https URL and returns its readable text \
                          with its links. HTML, plain text, JSON and XML only; no scripts are run, nothing \
                          is sent."
                .into(),
            parameters: arguments::schema::<Arguments>(),
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
            tracing::error!(%error, "failed to build the client of fetch_url");
            ToolError::Fatal(ErrorCode::ToolError, "failed to build the web client".to_owned())
        })?;
        Ok(self.client.get_or_init(|| built))
    }

    async fn fetch(&self, invocation: Invocation) -> Result<Output, ToolError> {
        let Arguments { url } = arguments::read(invocation.arguments)?;
        let client = self.client()?;
        let page = client.get(&url, &*invocation.egress).await.map_err(ToolError::RespondToModel)?;
        // A large page takes time, which must not block other tasks.
        let text = tokio::task::spawn_blocking(move || text_of(page)).await;
        let text = text.map_err(|_| ToolError::RespondToModel("The page cannot be read.".to_owned()))?;
        Ok(Output::of_text(text))
    }
}

fn text_of(page: Page) -> String {
    let text = if page.is_html { readable(&page.text, &page.url) } else { page.text };
    let text = CleanText::new(text.trim(), MAX_TEXT_BYTES);
    let cut = if page.is_cut { "\n[the page is longer; only its beginning was read]" } else { "" };
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
