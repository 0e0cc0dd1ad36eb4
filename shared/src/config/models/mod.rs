//! The models file: the language models of the installation and how to reach them. The gateway
//! serves names and abilities, the run-worker and `gateway models check` need the rest.

mod check;
mod preset;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

pub use settings::{InstructionsRole, ModelSettings, Provider, StructuredOutput, TokenParameter};

/// The parsed file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelsFile {
    models: Vec<Model>,
}

/// One `[[models]]` entry. docs/guides/models.md says which servers need which setting.
#[expect(clippy::struct_excessive_bools, reason = "each is one ability of a server")]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The value of `chatModelId`.
    pub id: String,
    pub name: String,
    pub provider: Provider,
    /// The address including the version, for example `https://api.openai.com/v1`. Only the demo model has
    /// none.
    pub base_url: Option<url::Url>,
    /// The server's name for the model.
    #[serde(default)]
    pub model: String,
    /// Environment variable that holds the server's key.
    pub api_key_env: Option<String>,
    /// File that holds the server's key.
    pub api_key_file: Option<PathBuf>,
    /// Whether runs use it if neither run nor app names a model.
    #[serde(default)]
    pub default: bool,
    /// Whether it can call tools.
    #[serde(default = "yes")]
    pub tools: bool,
    /// Whether it sees pictures.
    #[serde(default)]
    pub vision: bool,
    /// The older name of two values of `structured_output`: `response_format`, and `words`.
    json_schema: Option<bool>,
    structured_output: Option<StructuredOutput>,
    tools_with_schema: Option<bool>,
    token_parameter: Option<TokenParameter>,
    instructions_role: Option<InstructionsRole>,
    #[serde(default = "yes")]
    stream: bool,
    stream_usage: Option<bool>,
    #[serde(default = "yes")]
    tool_choice: bool,
    parallel_tool_calls: Option<bool>,
    returns_reasoning: Option<bool>,
    reasoning_effort: Option<String>,
    #[serde(default)]
    extra_body: Map<String, Value>,
    #[serde(default)]
    extra_headers: BTreeMap<String, String>,
    /// The most tokens of a conversation.
    pub context_window: Option<u32>,
    /// The most tokens of one answer.
    max_output_tokens: Option<u32>,
    /// Seconds without a byte from the server after which a request fails.
    timeout_seconds: Option<u32>,
    max_repeated_bytes: Option<usize>,
}

const fn yes() -> bool {
    true
}

/// What is wrong with the models file.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    #[error("CAPI_MODELS: cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("CAPI_MODELS: {0}: {1}")]
    Parse(PathBuf, Box<toml::de::Error>),
    /// The file is valid TOML, but its settings contradict each other.
    #[error("CAPI_MODELS: {0}: {1}")]
    Invalid(PathBuf, String),
}

impl ModelsFile {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> Result<Self, ModelsError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ModelsError::Read(path.to_owned(), error))?;
        let file: Self =
            toml::from_str(&text).map_err(|error| ModelsError::Parse(path.to_owned(), Box::new(error)))?;
        file.check().map_err(|what| ModelsError::Invalid(path.to_owned(), what))?;
        Ok(file)
    }

    fn check(&self) -> Result<(), String> {
        if self.models.is_empty() {
            return Err("must list at least one [[models]]".to_owned());
        }
        if self.models.iter().filter(|model| model.default).count() > 1 {
            return Err("only one model may say default = true".to_owned());
        }
        for (index, model) in self.models.iter().enumerate() {
            if model.id.is_empty() || self.models[..index].iter().any(|other| other.id == model.id) {
                return Err(format!("the id {:?} is empty or appears twice", model.id));
            }
            if model.api_key_env.is_some() && model.api_key_file.is_some() {
                return Err(format!("{}: give api_key_env or api_key_file, not both", model.id));
            }
            if let Some(what) = model.contradiction() {
                return Err(format!("{}: {what}", model.id));
            }
        }
        Ok(())
    }

    /// All models, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Model] {
        &self.models
    }

    /// The model with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.id == id)
    }

    /// The model that is marked as default, or else the first one.
    #[must_use]
    pub fn default_model(&self) -> &Model {
        self.models.iter().find(|model| model.default).unwrap_or(&self.models[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(), String> {
        toml::from_str::<ModelsFile>(text).map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn contradictions_are_named() {
        let model = |id: &str, more: &str| {
            format!(
                "[[models]]\nid='{id}'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\n\
                 model='m'\n{more}\n"
            )
        };
        assert_eq!(parse(&model("a", "")), Ok(()));
        assert!(parse("models = []").unwrap_err().contains("at least one"));
        assert!(parse(&(model("a", "") + &model("a", ""))).unwrap_err().contains("twice"));
        assert!(
            parse(&(model("a", "default=true") + &model("b", "default=true")))
                .unwrap_err()
                .contains("default")
        );
        assert!(parse(&model("a", "api_key_env='X'\napi_key_file='/x'")).unwrap_err().contains("not both"));
        assert!(parse(&model("a", "colour='red'")).unwrap_err().contains("colour"));
        let both = "json_schema=true\nstructured_output='tool'";
        assert!(parse(&model("a", both)).unwrap_err().contains("not both"));
        assert!(parse(&model("a", "extra_body={messages=[]}")).unwrap_err().contains("messages"));
        assert!(parse(&model("a", "max_output_tokens=0")).unwrap_err().contains("at least 1"));
        for (settings, named) in [
            ("extra_headers={content-length='3'}", "content-length"),
            ("extra_headers={'a b'='x'}", "a b"),
            ("api_key_env='K'\nextra_headers={Authorization='x'}", "Authorization"),
            ("extra_body={d=1979-05-27}", "extra_body: d"),
            ("extra_body={d=[nan]}", "extra_body: d"),
            ("reasoning_effort=''", "reasoning_effort"),
            ("timeout_seconds=99999999", "timeout_seconds"),
            ("max_repeated_bytes=99999999", "max_repeated_bytes"),
            ("context_window=100\nmax_output_tokens=200", "max_output_tokens"),
        ] {
            assert!(parse(&model("a", settings)).unwrap_err().contains(named), "{settings}");
        }
    }

    #[test]
    fn the_address_is_checked() {
        let model = |address: &str| {
            parse(&format!("[[models]]\nid='a'\nname='n'\nprovider='openai'\nmodel='m'\n{address}\n"))
        };
        assert_eq!(model("base_url='https://h/v1'"), Ok(()));
        for (address, named) in [
            ("", "base_url is missing"),
            ("base_url='ftp://h/v1'", "http://"),
            ("base_url='https://a:b@h/v1'", "no name and no password"),
            ("base_url='https://h/v1?a=b'", "no query"),
        ] {
            assert!(model(address).unwrap_err().contains(named), "{address}");
        }
    }

    #[test]
    fn the_demo_model_has_no_server() {
        let demo = |more: &str| parse(&format!("[[models]]\nid='demo'\nname='n'\nprovider='demo'\n{more}\n"));
        assert_eq!(demo(""), Ok(()));
        assert_eq!(demo("default=true\ntools=true"), Ok(()));
        for (more, named) in [
            ("base_url='http://h/v1'", "base_url"),
            ("model='m'", "model"),
            ("api_key_env='K'", "api_key_env"),
            ("extra_body={seed=1}", "extra_body"),
            ("vision=true", "vision"),
            ("tools=false", "tools"),
        ] {
            let refused = demo(more).unwrap_err();
            assert!(refused.contains("demo model") && refused.contains(named), "{more}: {refused}");
        }
    }

    #[test]
    fn what_the_file_says_wins_over_the_preset() {
        let settings = |more: &str| {
            let text = format!(
                "[[models]]\nid='a'\nname='n'\nprovider='openai'\nmodel='m'\n\
                 base_url='https://api.openai.com/v1'\n{more}\n"
            );
            toml::from_str::<ModelsFile>(&text).unwrap().default_model().settings()
        };
        assert_eq!(settings("").token_parameter, TokenParameter::MaxCompletionTokens);
        assert_eq!(settings("token_parameter='none'").token_parameter, TokenParameter::None);
        assert_eq!(settings("").structured_output, StructuredOutput::ResponseFormat);
        assert_eq!(settings("json_schema=false").structured_output, StructuredOutput::Words);
        assert_eq!(settings("structured_output='tool'").structured_output, StructuredOutput::Tool);
    }
}
