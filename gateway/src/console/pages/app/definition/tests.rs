use gateway_domain::apps::Checks;
use shared::apps::AppDefinition;
use shared::config::{ModelsFile, SearchFile};
use shared::definition_checker::DefinitionChecker;
use shared::ids::UserId;

use super::{Draft, FieldRow};
use crate::console::form::Form;

fn models() -> ModelsFile {
    toml::from_str("[[models]]\nid='m'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\nmodel='m'\n")
        .unwrap()
}

fn search() -> SearchFile {
    toml::from_str("[[providers]]\nprovider='serper'\nkey_env='K'\n").unwrap()
}

async fn checked(draft: &mut Draft) -> Option<AppDefinition> {
    let (models, search, checker) = (models(), search(), DefinitionChecker::start().unwrap());
    let with = Checks { models: &models, search: &search, checker: &checker, account: UserId::generate() };
    draft.check(with, ("free", None)).await.unwrap()
}

fn form(pairs: &[(&str, &str)]) -> Form {
    Form::of(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap()
}

const SAMPLE: &str = r#"
    name = "A"
    prompt = "{{ text }} {{ n }}"
    tools = ["python", "web_search"]
    web_search = { provider = "serper" }
    output.schema = { type = "object" }
    limits = { steps = 3 }
    fetch = { hosts = ["*.example.org", "example.net"], urls = "known" }
    [[inputs]]
    name = "text"
    label = "Text"
    type = "select"
    options = ["red", "blue"]
    default = "red"
    required = true
    [[inputs]]
    name = "n"
    type = "number"
    default = 3
"#;

#[tokio::test]
async fn an_app_is_the_same_after_a_round_trip_through_its_form() {
    let app: AppDefinition = toml::from_str(SAMPLE).unwrap();
    assert_eq!(checked(&mut Draft::of(&app)).await.unwrap(), app);
    let draft = Draft::of(&app);
    let mut pairs = vec![
        ("name".to_owned(), draft.name.clone()),
        ("prompt".to_owned(), draft.prompt.clone()),
        ("schema".to_owned(), draft.schema.clone()),
        ("tools".to_owned(), "python".to_owned()),
        ("tools".to_owned(), "web_search".to_owned()),
        ("search_provider".to_owned(), draft.search_provider.clone()),
        ("fetch.hosts".to_owned(), draft.fetch_hosts.clone()),
        ("fetch.urls".to_owned(), draft.fetch_urls.clone()),
    ];
    for row in draft.fields.iter().chain([&FieldRow::default()]) {
        let required = if row.required { "yes" } else { "no" };
        for (column, value) in [
            ("name", &row.name),
            ("label", &row.label),
            ("type", &row.kind),
            ("required", &required.to_owned()),
            ("default", &row.default),
            ("options", &row.options),
        ] {
            pairs.push((format!("field.{column}"), value.clone()));
        }
    }
    pairs.extend(draft.limits.iter().map(|row| (format!("limits.{}", row.name), row.value.clone())));
    assert_eq!(Draft::read(&Form::of(pairs.into_iter()).unwrap()), draft);
}

#[tokio::test]
async fn each_error_is_at_its_field() {
    let mut draft = Draft::read(&form(&[
        ("name", " "),
        ("prompt", "{{ nobody }}"),
        ("schema", "{"),
        ("fetch.hosts", "example.org\n\nhttps://example.net/"),
        ("fetch.urls", "some"),
        ("limits.steps", "many"),
        ("limits.seconds", "0"),
        ("field.name", ""),
        ("field.label", "Nameless"),
        ("field.name", "n"),
        ("field.label", ""),
        ("field.type", "text"),
        ("field.type", "number"),
        ("field.required", "no"),
        ("field.required", "no"),
        ("field.default", ""),
        ("field.default", "three"),
    ]));
    assert_eq!(checked(&mut draft).await, None);
    assert!(draft.error("name").unwrap().contains("1 to 100"));
    assert!(draft.error("prompt").unwrap().contains("nobody"));
    assert!(draft.error("output.schema").unwrap().contains("not JSON"));
    assert!(draft.error("fetch.hosts").unwrap().contains("\"https://example.net/\" has a scheme"));
    assert_eq!(draft.error("fetch.urls"), Some("Choose one of the entries."));
    let limit = |name: &str| draft.limits.iter().find(|row| row.name == name).unwrap().error.clone().unwrap();
    assert_eq!(limit("steps"), "Must be a whole number.");
    assert!(limit("seconds").contains("86400"));
    assert_eq!(draft.fields[0].errors, ["The field needs a name."]);
    assert!(draft.fields[1].errors[0].contains("must be a number"), "{:?}", draft.fields[1].errors);
    assert_eq!(
        draft.summary(),
        "Not saved. Fix 13 fields: Name, Input field 1, Input field n, Prompt, Hosts, URLs, Steps, Seconds, \
         Tokens, Tool calls, Output bytes, Workspace bytes, Output schema."
    );
}
