//! `fetch_url`: reads a public page or document as text, or saves it as a file. Any outsider may have given
//! the URL to the model, so the client checks every address of every redirect right before it connects. The
//! rules of the app (`egress`) apply to every redirect too.

mod answer;
mod client;
mod content;
mod feed;
mod page;
mod readable;
mod regions;
mod save;
mod scripts;
mod text;
mod tokens;
mod window;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shared::net::ip_policy::IpPolicy;
use shared::runs::ErrorCode;

use super::files::{disk_error, workspace_of};
use super::{Files, Invocation, Output, Spec, Tool, ToolError, arguments};
use crate::documents::{DocumentKind, Documents, MAX_READ_TIME};
use answer::MAX_RESULT_BYTES;
use client::{FILE_TIME, FetchClient, Head, Reply};
use content::Content;
use page::{PageText, Wish, page_text};

/// Bytes of a document that is read and not saved. It takes space beside the workspace.
const MAX_DOCUMENT_BYTES: u64 = 50 << 20;
/// Continues a sentence about the bytes that the workspace has room for.
const NO_ROOM: &str = "fit into the workspace. Nothing was saved. Delete what is not needed";
/// To save and to move a file.
const DISK_TIME: Duration = Duration::from_secs(20);

pub(super) struct FetchUrl {
    spec: Spec,
    policy: IpPolicy,
    documents: Arc<Documents>,
    /// Built with the first call: most apps fetch nothing.
    client: OnceLock<FetchClient>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// An absolute URL, for example https://example.com/page
    url: String,
    /// A new file in the workspace that gets the content, of any type; for example data/prices.xlsx
    save_to: Option<String>,
    /// The first character to show of a long text, as the last answer names it
    offset: Option<usize>,
    /// Also read menus, headers and footers of a page; false if absent
    #[serde(default)]
    whole_page: bool,
}

impl FetchUrl {
    pub(super) fn new(policy: IpPolicy, documents: Arc<Documents>) -> Self {
        let spec = Spec {
            name: "fetch_url",
            description: "Fetches a public http or https URL. Without save_to, it returns the text: the \
                          readable part of a web page with its links, plain text, JSON, YAML, XML, RSS, CSV, \
                          PDF, XLSX, DOCX or PPTX. A long text is returned in pieces; offset reads on. With \
                          save_to, it saves any type of file in the workspace for other tools. No scripts \
                          are run, nothing is sent. Cite what you use by the number of its source, as [n]."
                .into(),
            parameters: arguments::schema::<Arguments>(),
            repeatable: true,
            files: Files::Changes,
            timeout: FILE_TIME + MAX_READ_TIME + DISK_TIME,
            max_result_bytes: MAX_RESULT_BYTES + 200,
        };
        Self { spec, policy, documents, client: OnceLock::new() }
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

    async fn fetch(&self, mut invocation: Invocation) -> Result<Output, ToolError> {
        let Arguments { url, save_to, offset, whole_page } =
            arguments::read(std::mem::take(&mut invocation.arguments))?;
        if let Some(path) = save_to {
            return self.save(&url, path, &invocation).await;
        }
        let mut reply = self.get(&url, &invocation).await?;
        let content = if let Some(content) = reply.announced.content() {
            content
        } else {
            let announced = reply.announced.clone();
            announced.content_by(reply.beginning().await.map_err(ToolError::RespondToModel)?)
        };
        let (head, wish) = (reply.head.clone(), Wish { whole: whole_page, from_offset: offset.is_some() });
        let page = match content {
            Content::Document(kind) => self.document(reply, kind, &invocation).await?,
            Content::Other => return Err(not_text(&reply)),
            text => page_of(reply, text, &head, wish).await?,
        };
        Ok(answer::read(&head, &page, offset.unwrap_or_default(), &invocation.source_ids))
    }

    async fn get(&self, url: &str, invocation: &Invocation) -> Result<Reply, ToolError> {
        self.client()?.get(url, &*invocation.egress).await.map_err(ToolError::RespondToModel)
    }

    async fn document(
        &self,
        reply: Reply,
        kind: DocumentKind,
        invocation: &Invocation,
    ) -> Result<PageText, ToolError> {
        refuse_compressed(&reply)?;
        let workspace = workspace_of(invocation)?;
        let name = reply.head.url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
        let title = name.to_owned();
        let max = (MAX_DOCUMENT_BYTES, "are read of a document. With save_to, it is saved as a file");
        let download = save::download(reply, &workspace, invocation.id, max).await?;
        let file = download.open().map_err(|error| disk_error(&error))?;
        let read = self.documents.read(&workspace, invocation.id, file, kind).await?;
        Ok(PageText { title, about: Some(read.about), text: read.text, notes: vec![] })
    }

    async fn save(&self, url: &str, path: String, invocation: &Invocation) -> Result<Output, ToolError> {
        let workspace = workspace_of(invocation)?;
        let target = save::target(&workspace, path).await?;
        let reply = self.get(url, invocation).await?;
        let (head, announced) = (reply.head.clone(), reply.announced.clone());
        if head.is_error() {
            let why = format!("The server answered with status {}; nothing was saved.", head.status);
            return Err(ToolError::RespondToModel(why));
        }
        let download = save::download(reply, &workspace, invocation.id, (target.room, NO_ROOM)).await?;
        let bytes = download.keep(&workspace, target).await?;
        Ok(answer::saved(&head, &announced, bytes, &invocation.source_ids))
    }
}

async fn page_of(reply: Reply, content: Content, head: &Head, wish: Wish) -> Result<PageText, ToolError> {
    refuse_compressed(&reply)?;
    let content_type = reply.announced.content_type.clone();
    let bytes = reply.page().await.map_err(ToolError::RespondToModel)?;
    let head = head.clone();
    // A large page takes time, which must not block other tasks.
    let reading =
        tokio::task::spawn_blocking(move || page_text(&bytes, (content, &content_type), &head, wish));
    reading.await.map_err(|_| ToolError::RespondToModel("The page cannot be read.".to_owned()))
}

fn refuse_compressed(reply: &Reply) -> Result<(), ToolError> {
    if reply.announced.compression().is_none() {
        return Ok(());
    }
    let why = "The server sent the content compressed, although capi cannot read that. Give save_to and \
               unpack the file with a program.";
    Err(ToolError::RespondToModel(why.to_owned()))
}

fn not_text(reply: &Reply) -> ToolError {
    let media_type = match reply.announced.media_type() {
        none if none.is_empty() => "of an unknown type".to_owned(),
        named => named,
    };
    ToolError::RespondToModel(format!(
        "The page is {media_type}, which is not text. Give save_to, the path of a new file, to save it in \
         the workspace for other tools."
    ))
}

impl Tool for FetchUrl {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Only a file that is saved changes the workspace. A document is read beside it.
    fn files_of(&self, arguments: &Value) -> Files {
        if arguments["save_to"].is_null() { Files::Reads } else { Files::Changes }
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>> {
        self.fetch(invocation).boxed()
    }
}
