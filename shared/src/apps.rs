//! The definition of an agent app, as a version stores it. The gateway validates it, and validates inputs
//! against it. The run-worker executes it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::Limits;
use crate::tools::{FILE_READERS, PICTURE_OPENERS, WEB_SEARCH};

/// Instructions, prompt, inputs, model and limits of one version. Unknown fields are ignored, because a newer
/// gateway may have stored them. An import refuses them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppDefinition {
    /// Unique among its owner's apps.
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// The system message.
    #[serde(default)]
    pub instructions: String,
    /// The user message: a minijinja template over the inputs.
    pub prompt: String,
    /// The fields of the app's form.
    #[serde(default)]
    pub inputs: Vec<InputField>,
    /// The model of runs that name no other model; the installation's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default)]
    pub tools: Vec<String>,
    /// The shape of the result, if the app guarantees one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    #[serde(default)]
    pub limits: Limits,
    /// Left out of stored definitions if it restricts nothing, so that an unchanged app stays equal.
    #[serde(default, skip_serializing_if = "FetchRules::restrict_nothing")]
    pub fetch: FetchRules,
    /// Left out as well. It is not a part of `tools`, because former workers read a list of names there.
    #[serde(default, skip_serializing_if = "WebSearch::is_unset")]
    pub web_search: WebSearch,
}

impl AppDefinition {
    /// Whether it has a tool that reads files.
    #[must_use]
    pub fn reads_files(&self) -> bool {
        self.tools.iter().any(|tool| FILE_READERS.contains(&tool.as_str()))
    }

    /// Whether it has the tool that needs a search provider.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.tools.iter().any(|tool| tool == WEB_SEARCH)
    }

    /// Whether it has a tool that opens pictures, so that its model need not see them.
    #[must_use]
    pub fn opens_pictures(&self) -> bool {
        self.tools.iter().any(|tool| PICTURE_OPENERS.contains(&tool.as_str()))
    }

    /// Whether each of its runs has a file that only a model can read: a picture.
    #[must_use]
    pub fn needs_vision(&self) -> bool {
        let required = |field: &InputField| field.required && field.r#type == InputType::File;
        !self.reads_files() && self.inputs.iter().any(required)
    }
}

/// Which pages the tool `fetch_url` may read. A request must satisfy both rules, and so must each redirect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRules {
    /// The only hosts that may be contacted, as [`crate::net::host_rule::HostRule`] reads them. Every host,
    /// if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Which URLs at these hosts.
    #[serde(default)]
    pub urls: FetchUrls,
}

/// Which URLs an app may fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FetchUrls {
    /// Every URL at an allowed host.
    #[default]
    Any,
    /// The same, but `hosts` must name the hosts.
    Listed,
    /// URLs that the run was given or found on a page. The model cannot compose one, so it cannot be talked
    /// into sending the inputs to a host in a query string.
    Known,
}

impl FetchRules {
    #[must_use]
    pub fn restrict_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl FetchUrls {
    pub const ALL: [Self; 3] = [Self::Any, Self::Listed, Self::Known];

    /// As app files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Listed => "listed",
            Self::Known => "known",
        }
    }
}

/// The settings of the tool `web_search`. An app file has them in the table `[tools.web_search]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "a table")]
pub struct WebSearch {
    /// One of the providers of CAPI_SEARCH; the installation's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl WebSearch {
    #[must_use]
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}

/// The shape that an app guarantees for its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// A JSON Schema; see [`crate::output_schema`].
    pub schema: Value,
}

/// One field of the form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputField {
    /// The key in `inputs` and the variable in the prompt.
    pub name: String,
    /// For people; the name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub r#type: InputType,
    /// Whether a run must give it.
    #[serde(default)]
    pub required: bool,
    /// The value of runs that give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The values of a select.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// The types of input fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// A string.
    Text,
    /// A JSON number.
    Number,
    /// true or false.
    Boolean,
    /// One of the options.
    Select,
    /// A file that the client sends. In a run, the value is its path in the workspace.
    File,
}
