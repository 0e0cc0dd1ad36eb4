//! Whole checks of servers that take everything, and of ones that refuse.

use std::cell::RefCell;

use serde_json::{Value, json};
use shared::config::ModelsFile;
use shared::testing::ScriptedModel;

use super::{basics, check, inputs, schema, tools};

/// What a check of the scripted model says, and whether it answered.
async fn checked(model: &ScriptedModel, settings: &str) -> (Vec<String>, bool) {
    let served: ModelsFile = toml::from_str(&model.models_file()).unwrap();
    let address = served.get("plain").unwrap().base_url.as_ref().unwrap();
    let file = format!(
        "[[models]]\nid = \"m\"\nname = \"M\"\nprovider = \"openai\"\nbase_url = \"{address}\"\n\
         model = \"small\"\n{settings}\n"
    );
    let file: ModelsFile = toml::from_str(&file).unwrap();
    let said = RefCell::new(Vec::new());
    let answers = check(file.default_model(), &|line: &str| said.borrow_mut().push(line.to_owned())).await;
    (said.into_inner(), answers)
}

#[tokio::test]
async fn the_demo_model_is_named_and_not_asked() {
    let file = "[[models]]\nid = \"demo\"\nname = \"Demo\"\nprovider = \"demo\"\n";
    let file: ModelsFile = toml::from_str(file).unwrap();
    let said = RefCell::new(Vec::new());
    assert!(check(file.default_model(), &|line: &str| said.borrow_mut().push(line.to_owned())).await);
    let said = said.into_inner().join("\n");
    assert!(said.starts_with("demo (demo model)\n") && said.contains("not a language model"), "{said}");
}

/// The finding of a probe.
fn found<'s>(said: &'s [String], label: &str) -> &'s str {
    let begin = format!("  {label:<26}");
    said.iter().find_map(|line| line.strip_prefix(&begin)).unwrap_or_else(|| panic!("{label}: {said:#?}"))
}

/// A model that does what the probes ask for.
async fn good() -> ScriptedModel {
    let model = ScriptedModel::start().await;
    let city = |city: &str| json!(["get_weather", json!({"city": city}).to_string()]);
    let too_long = "This model's maximum context length is 8192 tokens. However, you requested 12000 tokens.";
    let refusal = json!({"error": {"message": too_long, "code": "context_length_exceeded"}});
    let scripts: [(&str, Value); 8] = [
        (basics::CAPITAL, json!([{"say": "Pineapple."}])),
        (tools::ONE, json!([{"call": [city("Paris")]}])),
        (tools::TWO, json!([{"call": [city("Rome"), city("Oslo")]}])),
        (tools::TIME, json!([{"call": [["current_time", ""]]}, {"say": "Half past twelve."}])),
        (schema::LEGS, json!([{"say": "{\"legs\": 8}"}])),
        (schema::WARMTH, json!([{"call": [city("Lima")]}, {"say": "{\"degrees\": 21}"}])),
        (inputs::PHRASE, json!([{"raw": format!("data: {refusal}\n\n")}])),
        (inputs::COLOUR, json!([{"say": "Red"}])),
    ];
    for (question, script) in scripts {
        model.script(question, &script);
    }
    model
}

#[tokio::test]
async fn a_server_that_takes_everything_needs_no_setting() {
    let settings = "context_window = 8192\nmax_output_tokens = 512\ntools_with_schema = true";
    let (said, answers) = checked(&good().await, settings).await;
    assert!(answers && said[0].starts_with("m (http://127.0.0.1:"), "{said:#?}");
    let findings = [
        ("plain answer", "works"),
        ("stream", "works, 2 pieces"),
        ("instructions", "works"),
        ("tool call", "works"),
        ("two calls at once", "works"),
        ("call without arguments", "works, and the server reads its result"),
        ("JSON schema", "works, by response_format"),
        ("tools with a schema", "works"),
        ("picture", "not tried: vision = false"),
        ("usage", "works: 11 tokens in, none of them cached; 7 out"),
        ("too long input", "refused as expected, window 8192"),
    ];
    for (label, expected) in findings {
        assert_eq!(found(&said, label), expected, "{label}");
    }
    assert_eq!(said.last().unwrap(), "Settings for the models file: none needed.");
}

#[tokio::test]
async fn what_a_server_refuses_becomes_a_setting() {
    let model = good().await;
    model.refuse("stream_options", "Unrecognized request argument supplied: stream_options");
    let words = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.";
    model.refuse("max_tokens", words);
    model.refuse("response_format", "This response_format type is unavailable now");
    let (said, answers) = checked(&model, "").await;
    assert!(answers, "{said:#?}");
    assert_eq!(found(&said, "plain answer"), "works", "the corrected request does");
    assert_eq!(found(&said, "JSON schema"), "works, in words: the server refuses response_format");
    assert_eq!(
        said.last().unwrap(),
        "Settings for the models file:\nstream_usage = false\ntoken_parameter = \"max_completion_tokens\"\n\
         structured_output = \"words\"\ncontext_window = 8192"
    );
}

#[tokio::test]
async fn what_a_model_cannot_do_is_no_refusal() {
    let (said, answers) = checked(&ScriptedModel::start().await, "context_window = 2000").await;
    assert!(answers, "{said:#?}");
    assert_eq!(found(&said, "tool call"), "does not work: the model called no tool in 2 requests");
    assert_eq!(found(&said, "two calls at once"), "not tried: the model called no tool before");
    let schema = "does not work: response_format gave no matching answer, and words does not work";
    assert_eq!(found(&said, "JSON schema"), schema);
    assert!(found(&said, "too long input").contains("cuts an input without an error"), "{said:#?}");
    assert_eq!(said.last().unwrap(), "Settings for the models file:\ntools = false");

    let model = ScriptedModel::start().await;
    model.refuse("tools", "small does not support tools");
    let (said, _) = checked(&model, "context_window = 2000").await;
    assert!(found(&said, "tool call").starts_with("refused: "), "{said:#?}");
    assert_eq!(said.last().unwrap(), "Settings for the models file:\ntools = false");
}

#[tokio::test]
async fn a_model_without_an_answer_is_asked_nothing_more() {
    let model = ScriptedModel::start().await;
    let (said, answers) = checked(&model, "api_key_env = \"CAPI_TEST_NO_SUCH_KEY\"").await;
    assert!(!answers && said[1].contains("CAPI_TEST_NO_SUCH_KEY is not set"), "{said:#?}");
    model.refuse("messages", "no such model");
    let (said, answers) = checked(&model, "").await;
    assert!(!answers && found(&said, "plain answer").contains("HTTP 400: no such model"), "{said:#?}");
    assert_eq!(model.asked().len(), 1);
}
