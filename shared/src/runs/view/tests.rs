use serde_json::{Value, json};

use super::{ShownResult, ShownSource};
use crate::runs::events::SourceUse;
use crate::runs::{RunResult, RunSource};

#[test]
fn a_stored_result_is_shown_as_it_is() {
    let source =
        RunSource { id: 3, url: "https://e.org/".to_owned(), title: "E".to_owned(), how: SourceUse::Cited };
    let result = RunResult {
        text: "null".to_owned(),
        data: Some(Value::Null),
        partial: false,
        sources: vec![source.clone()],
    };
    let shown: ShownResult = serde_json::from_value(json!(result)).unwrap();
    assert_eq!((shown.text, shown.data, shown.partial), (result.text, result.data, result.partial));
    let expected = ShownSource { id: 3, url: source.url, title: source.title, how: "cited".to_owned() };
    assert_eq!(shown.sources, [expected]);
}

#[test]
fn a_use_that_only_a_later_version_knows_is_shown_as_it_is() {
    let stored = json!({"text": "", "artifacts": [], "sources": [
        {"id": 1, "url": "https://e.org/", "title": "", "how": "translated"}]});
    let shown: ShownResult = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(json!(shown), stored);
}

#[test]
fn a_field_of_a_later_version_is_ignored() {
    let shown: ShownResult = serde_json::from_value(json!({"text": "a", "later": []})).unwrap();
    assert_eq!(shown, ShownResult { text: "a".to_owned(), ..ShownResult::default() });
}
