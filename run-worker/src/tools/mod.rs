//! What an app's model may call: one file a tool, behind one trait. A new tool is a file here, a line in [`Tools::new`], and its
//! name in `shared::tools`.

pub mod arguments;
mod current_time;
mod fetch_url;
mod save_artifact;

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use shared::events::{EventType, NewEvent};
use shared::ids::RunId;
use shared::net::ip_policy::IpPolicy;
use shared::storage::Artifacts;
use uuid::Uuid;

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
    /// From the call to the result.
    pub timeout: Duration,
    /// Bytes of a result; what is longer is cut, and the model is told.
    pub max_result_bytes: usize,
}

/// One call.
#[derive(Debug)]
pub struct Invocation {
    /// On whose behalf.
    pub run: RunId,
    /// Of the call; the same where it is made again.
    pub id: Uuid,
    /// An object; storable as jsonb.
    pub arguments: Value,
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
#[expect(missing_docs, reason = "as the columns are called")]
pub struct NewArtifact {
    pub media_type: String,
    pub title: String,
    pub size: usize,
    pub sha256: String,
}

/// Why a tool did not do what it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum ToolError {
    /// The model can do something about it: it is told, in these words.
    RespondToModel(String),
    /// Nobody can: the run ends, and its owner is told in these words.
    Fatal(String),
}

/// See the module.
pub trait Tool: Send + Sync + 'static {
    /// What it is.
    fn spec(&self) -> &Spec;

    /// Does it. Dropping the future ends it.
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Result<Output, ToolError>>;
}

impl NewArtifact {
    /// Its event; the row comes from it.
    #[must_use]
    pub fn event(&self, id: Uuid) -> NewEvent {
        let data = json!({
            "id": id, "type": self.media_type, "title": self.title, "size": self.size, "sha256": self.sha256,
        });
        NewEvent { kind: EventType::Artifact, data }
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
    pub fn new(artifacts: Artifacts, fetch_policy: IpPolicy) -> Self {
        Self(vec![
            Box::new(current_time::CurrentTime::new()),
            Box::new(fetch_url::FetchUrl::new(fetch_policy)),
            Box::new(save_artifact::SaveArtifact::new(artifacts)),
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

    /// A tool that the app lists and this process does not have.
    #[must_use]
    pub fn missing(self) -> Option<&'t str> {
        self.listed.iter().map(String::as_str).find(|name| self.get(name).is_none())
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
        Tools::new(store, IpPolicy::default())
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
        let (tools, listed) = (all(), ["current_time".to_owned(), "shell".to_owned()]);
        let toolbox = tools.of(&listed);
        assert!(toolbox.get("current_time").is_some() && toolbox.get("fetch_url").is_none());
        assert_eq!(toolbox.missing(), Some("shell"));
    }

    #[test]
    fn long_results_are_cut_on_a_character() {
        let mut output = Output { text: "aé".repeat(10), ..Output::default() };
        output.cut(5);
        assert_eq!(output.text, "aéa\n[cut: this is the beginning of 30 bytes]");
    }
}
