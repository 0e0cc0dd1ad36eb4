//! The tools that a model can call, one file for each. A new tool needs a file here, a line in
//! [`Tools::new`], and its name in `shared::tools`.

pub mod arguments;
mod current_time;
mod edit_file;
mod fetch_url;
mod files;
mod list_files;
mod python;
mod read_file;
mod save_artifact;
mod script;
mod shell;
mod source_ids;
mod surroundings;
mod web_search;
mod write_file;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use shared::ids::RunId;
use shared::net::ip_policy::IpPolicy;
use shared::runs::events::{FoundSource, PublishedArtifact};
use shared::runs::{ErrorCode, RunError};
use shared::storage::Artifacts;
use tokio::time::Instant;
use uuid::Uuid;

use crate::documents::Documents;
use crate::egress::CallEgress;
use crate::pictures::{Pictures, PicturesLeft, ShownPicture};
use crate::sandbox::Sandbox;
use crate::search::Search;
use crate::workspace::Workspace;
pub(crate) use script::is_failed_command;
pub use source_ids::SourceIds;
pub use web_search::RunSearch;

/// Describes a tool to the model and to the agent.
#[derive(Debug)]
pub struct Spec {
    /// One of `shared::tools::TOOLS`.
    pub name: &'static str,
    /// For the model.
    pub description: Cow<'static, str>,
    /// The JSON Schema of the arguments.
    pub parameters: Value,
    /// Whether a call with an unknown outcome may be repeated: it has no effect, or the same effect again.
    pub repeatable: bool,
    pub files: Files,
    /// From the call to the result.
    pub timeout: Duration,
    /// A longer result is cut, and says so.
    pub max_result_bytes: usize,
}

/// How a tool uses the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    None,
    Reads,
    /// No other call runs at the same time, and a snapshot is saved with the result.
    Changes,
}

/// One call.
pub struct Invocation {
    pub run: RunId,
    /// The id of the call. A repeated call has the same id.
    pub id: Uuid,
    /// An object that can be stored as jsonb.
    pub arguments: Value,
    /// Commands end by then: the rest of the run's time is for its last answer.
    pub calls_end: Instant,
    /// None if the app has no tools for files.
    pub workspace: Option<Workspace>,
    /// Bytes of artifacts that the run may still publish. The calls of a step share it.
    pub output_left: Arc<AtomicU64>,
    /// What the call may contact.
    pub egress: Arc<CallEgress>,
    /// The numbers of the run's web pages.
    pub source_ids: Arc<SourceIds>,
    /// What the run may search.
    pub search: Arc<RunSearch>,
    /// The pictures that the model may still be shown. `None` if it sees none.
    pub pictures_left: Option<Arc<PicturesLeft>>,
}

/// The result of a call.
#[derive(Debug, Default)]
pub struct Output {
    /// For the model. Clean text.
    pub text: String,
    /// A file in the store that is published with the result.
    pub artifact: Option<NewArtifact>,
    /// Web pages that the call found or read.
    pub sources: Vec<FoundSource>,
    /// A picture that the model is shown with the result.
    pub picture: Option<ShownPicture>,
}

/// A file in the store, under the id of the call.
#[derive(Debug)]
pub struct NewArtifact {
    pub media_type: String,
    pub title: String,
    pub size: u64,
    pub sha256: String,
}

/// Why a call failed.
#[derive(Debug, PartialEq, Eq)]
pub enum ToolError {
    /// The model can react to this message.
    RespondToModel(String),
    /// The run ends with this code and message.
    Fatal(ErrorCode, String),
}

pub trait Tool: Send + Sync + 'static {
    fn spec(&self) -> &Spec;

    /// How a call with these arguments uses the workspace: at most as the spec says.
    fn files_of(&self, _arguments: &Value) -> Files {
        self.spec().files
    }

    /// Dropping the future ends the call.
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>>;

    /// Why this worker cannot offer the tool, if it cannot.
    fn unavailable(&self) -> Option<String> {
        None
    }
}

impl NewArtifact {
    /// As the event and the row hold it.
    #[must_use]
    pub fn published(self, id: Uuid) -> PublishedArtifact {
        let Self { media_type, title, size, sha256 } = self;
        PublishedArtifact { id: id.into(), media_type, title, size, sha256 }
    }
}

impl Output {
    fn of_text(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    /// Cuts a text of more than `max` bytes, and says so in the text.
    pub fn cut(&mut self, max: usize) {
        let whole = self.text.len();
        if whole > max {
            self.text.truncate(self.text.floor_char_boundary(max));
            let _ = write!(self.text, "\n[cut: this is the beginning of {whole} bytes]");
        }
    }
}

/// What the tools of a process are made of.
pub struct ToolParts {
    pub artifacts: Artifacts,
    /// Decides which addresses `fetch_url` can reach.
    pub fetch_policy: IpPolicy,
    pub sandbox: Arc<Sandbox>,
    /// The search providers, if the installation has any.
    pub search: Option<Arc<Search>>,
    pub pictures: Arc<Pictures>,
}

/// All tools of the process.
pub struct Tools(Vec<Box<dyn Tool>>);

impl Tools {
    #[must_use]
    pub fn new(parts: ToolParts) -> Self {
        let ToolParts { artifacts, fetch_policy, sandbox, search, pictures } = parts;
        let documents = Arc::new(Documents::new(Arc::clone(&sandbox)));
        Self(vec![
            Box::new(current_time::CurrentTime::new()),
            Box::new(edit_file::edit_file()),
            Box::new(fetch_url::FetchUrl::new(fetch_policy, Arc::clone(&documents))),
            Box::new(list_files::list_files()),
            Box::new(python::python(Arc::clone(&sandbox))),
            Box::new(read_file::ReadFile::new(documents, pictures, artifacts.clone())),
            Box::new(save_artifact::SaveArtifact::new(artifacts)),
            Box::new(shell::shell(Arc::clone(&sandbox))),
            Box::new(web_search::WebSearch::new(search)),
            Box::new(write_file::write_file()),
        ])
    }

    /// The tools that an app lists. Its model can call no others.
    #[must_use]
    pub fn of<'t>(&'t self, listed: &'t [String]) -> Toolbox<'t> {
        Toolbox { all: self, listed }
    }
}

/// The tools of one app.
#[derive(Clone, Copy)]
pub struct Toolbox<'t> {
    all: &'t Tools,
    listed: &'t [String],
}

impl<'t> Toolbox<'t> {
    /// In alphabetical order.
    pub fn all(self) -> impl Iterator<Item = &'t dyn Tool> {
        self.all.0.iter().map(AsRef::as_ref).filter(move |tool| self.lists(tool.spec().name))
    }

    /// The app's tool of this name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'t dyn Tool> {
        self.all().find(|tool| tool.spec().name == name)
    }

    /// Why the run cannot begin: the app lists a tool that this process cannot offer.
    #[must_use]
    pub fn missing(self) -> Option<RunError> {
        self.listed.iter().find_map(|name| match self.get(name) {
            None => {
                let why = format!("the worker has no tool {name:?}; is it older than the gateway?");
                Some(RunError::new(ErrorCode::ToolError, &why, None))
            }
            Some(tool) => tool.unavailable().map(|why| {
                RunError::new(ErrorCode::SandboxError, &format!("the tool {name} cannot run: {why}"), None)
            }),
        })
    }

    /// Whether a tool of the app works on files.
    #[must_use]
    pub fn has_files(self) -> bool {
        self.all().any(|tool| tool.spec().files != Files::None)
    }

    fn lists(self, name: &str) -> bool {
        self.listed.iter().any(|listed| listed == name)
    }
}

#[cfg(test)]
mod tests;
