use shared::config::{ModelsFile, SearchFile};
use shared::definition_checker::DefinitionChecker;
use shared::ids::UserId;
use shared::tools::TOOLS;

use super::*;

async fn said(text: &str) -> String {
    said_with("", text).await
}

/// `more` holds entries of further models.
async fn said_with(more: &str, text: &str) -> String {
    said_where(more, &SearchFile::default(), text).await
}

async fn said_where(more: &str, search: &SearchFile, text: &str) -> String {
    let model = |id: &str| {
        format!(
            "[[models]]\nid='{id}'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\n\
             model='m'\ntools={}\n",
            id == "m"
        )
    };
    let models = model("m") + &model("plain") + more;
    let models: ModelsFile = toml::from_str(&models).expect("a models file");
    let checker = DefinitionChecker::start().expect("a checker");
    let with = Checks { models: &models, search, checker: &checker, account: UserId::generate() };
    match parse_definition(text, with).await {
        Ok(app) => format!("{} is fine", app.name),
        Err(error) => error.to_string().replace(&TOOLS.join(", "), "TOOLS"),
    }
}

#[tokio::test]
async fn every_fault_is_listed() {
    let listed = said(
        r#"
        name = " "
        prompt = "{{ text }} {{ nobody }}"
        colour = "red"
        model = "gpt"
        tools = ["telephone", "fetch_url", "fetch_url"]
        limits = { steps = 0, minutes = 5, tool_calls = 2001 }
        output = { schema = { type = "objekt" } }
        fetch = { hosts = ["*", "A.e.org", "a.e.org."], urls = "known", sites = [] }
        [[inputs]]
        name = "text"
        type = "select"
        [[inputs]]
        name = "text"
        type = "number"
        default = "one"
        "#,
    );
    insta::assert_snapshot!(listed.await, @r#"
the app has 16 error(s):
  - colour is unknown; leave it out
  - fetch.sites is unknown; leave it out
  - limits.minutes is unknown; leave it out
  - name must have 1 to 100 characters
  - prompt uses "nobody", which is not an input field
  - inputs[0]: options are needed by type "select", and only there
  - inputs[1]: name "text" appears twice
  - inputs[1]: default: the input "text" must be a number
  - model "gpt" is not in CAPI_MODELS; known are: m, plain
  - tools: "telephone" is unknown; known are: TOOLS
  - tools: "fetch_url" appears twice
  - output.schema: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword (at /type)
  - limits.steps must be 1 to 1000
  - limits.tool_calls must be 1 to 2000
  - fetch.hosts: "*" allows every host; leave hosts out instead
  - fetch.hosts: "a.e.org." appears twice
"#);
    assert!(said("name = 'a'\nprompt = 3").await.starts_with("not an app file: "));
}

#[tokio::test]
async fn a_schema_is_toml_or_json_and_tools_need_a_model_that_calls_them() {
    let with = async |more: &str| said(&format!("name = 'a'\nprompt = 'p'\n{more}")).await;
    assert_eq!(with("output.schema = { type = 'object' }").await, "a is fine");
    assert_eq!(with(r#"output.schema = '{"type": "object"}'"#).await, "a is fine");
    assert!(with("output.schema = '{'").await.contains("output.schema is not JSON"));
    let long = format!("output.schema = '[{}{{}}]'", "{},".repeat(100_000));
    assert!(with(&long).await.contains("output.schema is longer than 262144 bytes"));
    assert!(with("output.schema = '{\"a\": 1, \"a\": 2}'").await.contains("\"a\" appears twice"));
    assert!(with("output.schema = 3").await.contains("must be a JSON Schema"));
    assert!(with("output = { scheme = {} }").await.contains("schema"));
    assert_eq!(with("tools = ['fetch_url']\nmodel = 'm'").await, "a is fine");
    assert!(with("tools = ['fetch_url']\nmodel = 'plain'").await.contains("cannot call tools"));
}

#[tokio::test]
async fn a_file_needs_a_tool_or_a_model_that_sees_it() {
    let with = async |models: &str, more: &str| {
        let file = "[[inputs]]\nname = 'photo'\ntype = 'file'";
        said_with(models, &format!("name = 'a'\nprompt = 'p'\n{more}\n{file}")).await
    };
    let refused = "a file needs a tool that reads it, one of python, read_file";
    assert!(with("", "").await.contains(refused));
    assert_eq!(with("", "tools = ['read_file']").await, "a is fine");
    let seeing = "[[models]]\nid='eyes'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\nmodel='m'\n\
                  vision=true\n";
    assert_eq!(with(seeing, "").await, "a is fine", "a run may name the model");
    assert_eq!(with(seeing, "model = 'eyes'").await, "a is fine");
    assert!(with(seeing, "model = 'm'").await.contains(refused));
}

#[tokio::test]
async fn web_search_needs_its_provider() {
    let with = async |search: &str, tools: &str| {
        let search: SearchFile = toml::from_str(search).expect("a search file");
        said_where("", &search, &format!("name = 'a'\nprompt = 'p'\n{tools}")).await
    };
    let (list, brave) = ("tools = ['web_search']", "tools.web_search.provider = 'brave'");
    let none = "providers = []";
    let both = "[[providers]]\nprovider='serper'\nkey_env='K'\n[[providers]]\nname='brave-eu'\n\
                provider='brave'\nkey_env='K'\n";
    for tools in [list, brave] {
        let refused = with(none, tools).await;
        assert!(refused.contains("- tools: ") && refused.contains("CAPI_SEARCH"), "{tools}: {refused}");
    }
    assert_eq!(with(both, list).await, "a is fine");
    let refused = with(both, brave).await;
    let expected = "tools.web_search.provider: the search provider \"brave\" is not in CAPI_SEARCH; known \
                    are: serper, brave-eu (did you mean \"brave-eu\"?)";
    assert!(refused.contains(expected), "{refused}");
    assert!(with(none, "tools = ['websearch']").await.contains("(did you mean \"web_search\"?)"));
}

#[tokio::test]
async fn names_in_lists_are_one_visible_line() {
    let named = async |name: &str, label: &str| {
        let inputs = format!("[[inputs]]\nname = 'a'\nlabel = \"{label}\"\ntype = 'text'");
        said(&format!("name = \"{name}\"\nprompt = 'p'\n{inputs}")).await
    };
    assert_eq!(named("A", "").await, "A is fine");
    let refused = named("\\u202Egpj", "two\\nlines").await;
    assert!(refused.contains("name must not contain characters that change the direction"), "{refused}");
    assert!(refused.contains("inputs[0]: label must be on one line"), "{refused}");
    assert!(named("\\u200B", "A").await.contains("name must have a visible character"));
}

#[tokio::test]
async fn nul_is_refused_however_it_is_spelt() {
    let with = async |instructions: &str| {
        said(&format!("name = 'a'\nprompt = 'p'\ninstructions = {instructions}")).await
    };
    for spelt in [r#""\u0000""#, r#""\U00000000""#] {
        assert!(with(spelt).await.contains("U+0000"), "{spelt}: {}", with(spelt).await);
    }
    assert_eq!(with(r"'a backslash: \u0000'").await, "a is fine");
}
