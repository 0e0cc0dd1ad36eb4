use shared::config::ModelsFile;

use super::*;

fn settings(vision: bool) -> ModelSettings {
    let model = json!({
        "id": "m", "name": "M", "provider": "openai", "model": "gpt", "base_url": "http://h/v1",
        "vision": vision,
    });
    let file: ModelsFile = serde_json::from_value(json!({"models": [model]})).unwrap();
    file.default_model().settings()
}

/// Tool messages hold only text, and two user messages in a row are refused by some servers.
#[test]
fn pictures_of_results_follow_them_in_one_message() {
    let picture = |base64: &str| Picture { media_type: "image/png".to_owned(), base64: base64.into() };
    let shown =
        |text: &str, base64: &str| Message::User { text: text.to_owned(), pictures: vec![picture(base64)] };
    let result = |call: &str| Message::Tool { call: call.to_owned(), content: "shown".to_owned() };
    let asked = [
        result("a"),
        result("b"),
        shown("A", "AAAA"),
        shown("B", "BBBB"),
        Message::user("Finish.".to_owned()),
    ];
    let sent = messages(&settings(true), &asked);
    let [_, _, pictures] = sent.as_array().unwrap().as_slice() else { panic!("{sent}") };
    let kinds: Vec<_> =
        pictures["content"].as_array().unwrap().iter().map(|part| part["type"].as_str()).collect();
    let (text, image) = (Some("text"), Some("image_url"));
    assert_eq!((&pictures["role"], kinds), (&json!("user"), vec![text, image, text, image, text]));
    assert_eq!(messages(&settings(false), &asked).as_array().unwrap().len(), 2, "joined to the result");
}

#[test]
fn only_a_model_that_sees_gets_pictures() {
    let picture = Picture { media_type: "image/png".to_owned(), base64: "AAAA".into() };
    let asked = [Message::User { text: "Look".to_owned(), pictures: vec![picture] }];
    let content = |vision: bool| messages(&settings(vision), &asked)[0]["content"].clone();
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    assert_eq!(content(true), json!([{"type": "text", "text": "Look"}, image]));
    assert_eq!(content(false), json!("Look"));
}
