//! What an app's model may call: one file a tool, behind one trait. A new tool is a file here, a line in
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
mod write_file;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use shared::ids::RunId;
use shared::net::ip_policy::IpPolicy;
use shared::runs::events::PublishedArtifact;
use shared::runs::{ErrorCode, RunError};
use shared::storage::Artifacts;
use uuid::Uuid;

use crate::sandbox::Sandbox;
use crate::workspace::Workspace;

/// What a tool is, for the model and for whoever calls it.
#[derive(Debug)]
pub struct Spec {
    /// One of `shared::tools::TOOLS`.
    pub name: &'static str,
    /// For the model: what it does, and what it does not.
    pub description: &'static str,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
    /// Whether a call whose outcome is unknown may be made again: it has no effect, or the same one.
    pub repeatable: bool,
    /// What it does with the run's files.
    pub files: Files,
    /// From the call to the result.
    pub timeout: Duration,
    /// Bytes of a result; what is longer is cut, and the model is told.
    pub max_result_bytes: usize,
}

/// What a tool does with the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// It has nothing to do with it.
    None,
    /// It looks at files where there are any.
    Reads,
    /// It may change files: no other call is under way meanwhile, and the workspace is kept with its result.
    Changes,
}

/// One call.
pub struct Invocation {
    /// On whose behalf.
    pub run: RunId,
    /// Of the call; the same where it is made again.
    pub id: Uuid,
    /// An object; storable as jsonb.
    pub arguments: Value,
    /// The run's files, where the app has tools for them.
    pub workspace: Option<Workspace>,
    /// Bytes that the run may still bring forth; shared by the calls of a batch.
    pub output_left: Arc<AtomicU64>,
}

/// What a tool brought forth.
#[derive(Debug, Default)]
pub struct Output {
    /// For the model. Clean text.
    pub text: String,
    /// A file that is in the store, and is published with the result.
    pub artifact: Option<NewArtifact>,
}

/// A file in the store under the call's id.
#[derive(Debug)]
pub struct NewArtifact {
    pub media_type: String,
    pub title: String,
    pub size: u64,
    pub sha256: String,
}

/// Why a tool did not do what it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum ToolError {
    /// The model can do something about it: it is told, in these words.
    RespondToModel(String),
    /// Nobody can: the run ends with this code, and its owner is told in these words.
    Fatal(ErrorCode, String),
}

/// See the module.
pub trait Tool: Send + Sync + 'static {
    /// What it is.
    fn spec(&self) -> &Spec;

    /// Does it. Dropping the future ends it.
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>>;

    /// Why this worker cannot offer it, if so.
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
    /// No longer than `most` bytes, saying so.
    pub fn cut(&mut self, most: usize) {
        let whole = self.text.len();
        if whole > most {
            self.text.truncate(self.text.floor_char_boundary(most));
            let _ = write!(self.text, "\n[cut: this is the beginning of {whole} bytes]");
        }
    }
}

/// All tools of the process.
pub struct Tools(Vec<Box<dyn Tool>>);

impl Tools {
    /// `fetch_policy` says which addresses `fetch_url` may reach.
    #[must_use]
    pub fn new(artifacts: Artifacts, fetch_policy: IpPolicy, sandbox: &Arc<Sandbox>) -> Self {
        Self(vec![
            Box::new(current_time::CurrentTime::new()),
            Box::new(edit_file::EditFile::new()),
            Box::new(fetch_url::FetchUrl::new(fetch_policy)),
            Box::new(list_files::ListFiles::new()),
            Box::new(python::python(Arc::clone(sandbox))),
            Box::new(read_file::ReadFile::new()),
            Box::new(save_artifact::SaveArtifact::new(artifacts)),
            Box::new(shell::shell(Arc::clone(sandbox))),
            Box::new(write_file::WriteFile::new()),
        ])
    }

    /// Those that an app lists: its model can call no others.
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

    /// Why the run cannot begin, where the app lists a tool that this process cannot offer.
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

    /// Whether any of them works on files.
    #[must_use]
    pub fn has_files(self) -> bool {
        self.all().any(|tool| tool.spec().files != Files::None)
    }

    fn lists(self, name: &str) -> bool {
        self.listed.iter().any(|listed| listed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Tools {
        let store = Artifacts::open(&url::Url::from_directory_path(std::env::temp_dir()).unwrap()).unwrap();
        Tools::new(store, IpPolicy::default(), &Arc::new(Sandbox::off()))
    }

    #[test]
    fn there_is_a_tool_for_each_name_that_an_app_may_list() {
        let tools = all();
        let names: Vec<_> = tools.0.iter().map(|tool| tool.spec().name).collect();
        assert_eq!(names, shared::tools::TOOLS);
        for spec in tools.0.iter().map(|tool| tool.spec()) {
            assert_eq!(spec.parameters["type"], "object", "{}", spec.name);
            assert_eq!(spec.parameters["additionalProperties"], false, "{}", spec.name);
        }
    }

    #[test]
    fn an_app_has_the_tools_that_it_lists_and_no_others() {
        let (tools, listed) = (all(), ["current_time".to_owned(), "next_years".to_owned()]);
        let toolbox = tools.of(&listed);
        assert!(toolbox.get("current_time").is_some() && toolbox.get("fetch_url").is_none());
        assert!(!toolbox.has_files());
        assert_eq!(toolbox.missing().map(|error| error.code), Some(ErrorCode::ToolError));
        for (name, code) in [("shell", Some(ErrorCode::SandboxError)), ("read_file", None)] {
            let listed = [name.to_owned()];
            let toolbox = tools.of(&listed);
            assert_eq!(toolbox.missing().map(|error| error.code), code, "without a sandbox");
            assert!(toolbox.has_files());
        }
    }

    #[test]
    fn long_results_are_cut_on_a_character() {
        let mut output = Output { text: "aé".repeat(10), ..Output::default() };
        output.cut(5);
        assert_eq!(output.text, "aéa\n[cut: this is the beginning of 30 bytes]");
    }
}
