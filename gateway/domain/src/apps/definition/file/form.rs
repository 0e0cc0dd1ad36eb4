//! The members of an app file. They are those of a stored definition, except for `tools`: a file may list
//! their names, or have a table with a table of settings for each tool.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use shared::apps::{AppDefinition, FetchRules, InputField, Output, WebSearch};
use shared::limits::Limits;
use shared::tools::WEB_SEARCH;

#[derive(Deserialize)]
pub(super) struct Form {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    instructions: String,
    prompt: String,
    #[serde(default)]
    inputs: Vec<InputField>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    tools: Tools,
    #[serde(default)]
    output: Option<Output>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    fetch: FetchRules,
}

#[derive(Default)]
struct Tools {
    names: Vec<String>,
    web_search: WebSearch,
}

/// The table of a tool without settings.
#[derive(Deserialize)]
#[serde(expecting = "a table")]
struct NoSettings {}

impl From<Form> for AppDefinition {
    fn from(form: Form) -> Self {
        let Form { name, description, instructions, prompt, inputs, model, tools, output, limits, fetch } =
            form;
        let Tools { names, web_search } = tools;
        Self {
            name,
            description,
            instructions,
            prompt,
            inputs,
            model,
            tools: names,
            output,
            limits,
            fetch,
            web_search,
        }
    }
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ToolsVisitor)
    }
}

struct ToolsVisitor;

impl<'de> Visitor<'de> for ToolsVisitor {
    type Value = Tools;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of the names of tools, or a table with a table for each tool")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Tools, A::Error> {
        let names = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(Tools { names, web_search: WebSearch::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Tools, A::Error> {
        let mut tools = Tools::default();
        while let Some(name) = table.next_key::<String>()? {
            if name == WEB_SEARCH {
                tools.web_search = table.next_value()?;
            } else {
                let NoSettings {} = table.next_value()?;
            }
            tools.names.push(name);
        }
        // A table has no order.
        tools.names.sort_unstable();
        Ok(tools)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DefinitionFile, Parsed, parse};

    fn read(tools: &str) -> Result<Parsed, (String, String)> {
        let text = format!("name = 'a'\nprompt = 'b'\n{tools}");
        parse(DefinitionFile::Toml(text)).map_err(|error| (error.pointer.clone(), error.to_string()))
    }

    #[test]
    fn tools_are_a_list_or_a_table() {
        let tables = read("[tools.web_search]\nprovider = 'brave'\n[tools.fetch_url]").unwrap();
        assert!(tables.errors.is_empty(), "{:?}", tables.errors);
        let app = tables.definition;
        assert_eq!(app.tools, ["fetch_url", "web_search"]);
        assert_eq!(app.web_search.provider.as_deref(), Some("brave"));
        let stored = serde_json::json!(app);
        assert_eq!(stored["tools"], serde_json::json!(["fetch_url", "web_search"]));
        assert_eq!(stored["web_search"], serde_json::json!({"provider": "brave"}));
        let list = read("tools = ['shell', 'web_search']").unwrap().definition;
        assert!(list.tools == ["shell", "web_search"] && list.web_search.is_unset());
        assert!(serde_json::json!(list).get("web_search").is_none(), "old apps stay as they are");
        let empty = read("tools.web_search = {}").unwrap().definition;
        assert!(empty.tools == ["web_search"] && empty.web_search.is_unset());
    }

    #[test]
    fn mistakes_in_the_table_are_at_their_place() {
        let unknown = read("[tools.shell]\ntimeout = 3\n[tools.web_search]\ncount = 3").unwrap().errors;
        let pointers: Vec<_> = unknown.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/tools/shell/timeout", "/tools/web_search/count"]);
        let top = read("[web_search]\nprovider = 'brave'").unwrap().errors;
        assert_eq!(top[0].pointer, "/web_search");
        for (tools, pointer, named) in [
            ("tools = 3", "/tools", "a list of the names of tools"),
            ("tools = [3]", "/tools/0", "a string"),
            ("tools.shell = true", "/tools/shell", "boolean"),
            ("tools.web_search.provider = 3", "/tools/web_search/provider", "a string"),
        ] {
            let (at, message) = read(tools).map(|_| ()).unwrap_err();
            assert!(at == pointer && message.contains(named), "{tools}: {at}: {message}");
        }
    }
}
