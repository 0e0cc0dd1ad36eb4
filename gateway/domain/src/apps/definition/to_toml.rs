//! Writes a definition as an app file. Pure. Read again, the file gives the same definition. Members that
//! have their defaults are left out, and a schema is JSON in a string, because TOML has no null.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use shared::apps::{AppDefinition, FetchRules, InputField, WebSearch};
use shared::limits::Limits;
use shared::tools::WEB_SEARCH;

/// Bytes of a schema that is written with line breaks. A larger one might not fit into a file.
const MAX_INDENTED_BYTES: usize = 128 << 10;

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    prompt: &'a str,
    /// Empty if a tool has settings: then all tools are tables.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tools: &'a [String],
    #[serde(skip_serializing_if = "<[InputField]>::is_empty")]
    inputs: &'a [InputField],
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Output>,
    #[serde(skip_serializing_if = "Changed::is_empty")]
    limits: Changed,
    #[serde(skip_serializing_if = "FetchRules::restrict_nothing")]
    fetch: &'a FetchRules,
    #[serde(rename = "tools", skip_serializing_if = "BTreeMap::is_empty")]
    tool_tables: BTreeMap<&'a str, WebSearch>,
}

#[derive(Serialize)]
struct Output {
    /// JSON.
    schema: String,
}

/// The limits that differ from their defaults.
struct Changed(Limits);

impl Changed {
    fn values(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let changed = Limits::ALL.iter().filter(|limit| (limit.get)(&self.0) != limit.default);
        changed.map(|limit| (limit.name, (limit.get)(&self.0)))
    }

    fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }
}

impl Serialize for Changed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.values())
    }
}

/// The app file.
pub fn to_toml(app: &AppDefinition) -> Result<String, toml::ser::Error> {
    let output = app.output.as_ref().map(|output| {
        let compact = output.schema.to_string();
        let indented = format!("{:#}\n", output.schema);
        Output { schema: if indented.len() <= MAX_INDENTED_BYTES { indented } else { compact } }
    });
    let has_settings = !app.web_search.is_unset();
    toml::to_string(&File {
        name: &app.name,
        description: &app.description,
        model: app.model.as_deref(),
        instructions: &app.instructions,
        prompt: &app.prompt,
        tools: if has_settings { &[] } else { &app.tools },
        inputs: &app.inputs,
        output,
        limits: Changed(app.limits),
        fetch: &app.fetch,
        tool_tables: if has_settings { tool_tables(app) } else { BTreeMap::new() },
    })
}

/// A table for each tool. All but one are empty.
fn tool_tables(app: &AppDefinition) -> BTreeMap<&str, WebSearch> {
    let table =
        |tool: &String| if tool == WEB_SEARCH { app.web_search.clone() } else { WebSearch::default() };
    app.tools.iter().map(|tool| (tool.as_str(), table(tool))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::testing::property::{check_inputs, repeated};

    use super::super::file::{DefinitionFile, parse};
    use super::*;

    fn app(value: Value) -> AppDefinition {
        serde_json::from_value(value).unwrap()
    }

    fn again(text: &str) -> AppDefinition {
        let parsed =
            parse(DefinitionFile::Toml(text.to_owned())).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(parsed.errors.is_empty(), "{:?}: {text}", parsed.errors);
        parsed.definition
    }

    #[test]
    fn a_file_reads_well() {
        let text = to_toml(&app(json!({
            "name": "Extract", "prompt": "Who?\n\n{{ text }}\n", "tools": ["python", "shell"],
            "inputs": [{"name": "text", "type": "text", "required": true}],
            "output": {"schema": {"enum": [null, "it's"]}}, "limits": {"steps": 3},
            "fetch": {"hosts": ["example.org"], "urls": "known"},
        })))
        .unwrap();
        insta::assert_snapshot!(text, @r#"
name = "Extract"
prompt = """
Who?

{{ text }}
"""
tools = ["python", "shell"]

[[inputs]]
name = "text"
type = "text"
required = true

[output]
schema = """
{
  "enum": [
    null,
    "it's"
  ]
}
"""

[limits]
steps = 3

[fetch]
hosts = ["example.org"]
urls = "known"
"#);
    }

    #[test]
    fn every_definition_survives_a_round_trip() {
        for sample in ["summarise", "extract", "report", "chart", "fix", "invoice", "slides"] {
            let path = format!("{}/../../deploy/apps/{sample}.toml", env!("CARGO_MANIFEST_DIR"));
            let parsed = parse(DefinitionFile::Toml(std::fs::read_to_string(path).unwrap())).unwrap();
            assert_eq!(again(&to_toml(&parsed.definition).unwrap()), parsed.definition, "{sample}");
        }
        for default in [
            json!(1),
            json!(1.0),
            json!(-0.0),
            json!(1e300),
            json!(i64::MIN),
            json!(u64::MAX),
            json!("\r\n'''\"\"\"\u{7f}\u{1b}\\"),
        ] {
            let field = json!({"name": "a", "type": "number", "default": default});
            let app = app(json!({"name": "a", "prompt": "p", "inputs": [field]}));
            assert_eq!(again(&to_toml(&app).unwrap()), app);
        }
    }

    #[test]
    fn a_tool_with_settings_makes_all_tools_tables() {
        let searches = app(json!({
            "name": "a", "prompt": "p", "tools": ["fetch_url", "web_search"],
            "inputs": [{"name": "text", "type": "text"}],
            "web_search": {"provider": "brave"}, "fetch": {"urls": "known"},
        }));
        let text = to_toml(&searches).unwrap();
        assert!(text.contains("[tools.web_search]\nprovider = \"brave\"\n"), "{text}");
        assert_eq!(again(&text), searches, "{text}");
        let unset = app(json!({"name": "a", "prompt": "p", "tools": ["web_search"]}));
        let text = to_toml(&unset).unwrap();
        assert!(text.contains("tools = [\"web_search\"]"), "{text}");
        assert_eq!(again(&text), unset);
    }

    #[test]
    fn property_of_texts_in_app_files() {
        const PARTS: &[&str] = &[
            "'''", "\"\"\"", "\r\n", "\n", "\r", "\\", "'", "\"", "#", "\t", " ", "{{ a }}", "\u{7f}", "é",
            "\\u0041", "[a]\n", "a = 1\n", "\u{2028}", "\u{feff}",
        ];
        check_inputs("app_files", repeated(PARTS, 20_000), |text| {
            let app = app(json!({
                "name": text, "prompt": text, "instructions": text, "tools": [text],
                "output": {"schema": {"const": text}},
            }));
            let written = to_toml(&app).map_err(|error| error.to_string())?;
            if again(&written) == app { Ok(()) } else { Err(format!("changed: {written}")) }
        });
    }
}
