use serde_json::{Value, json};

use super::ShownResult;
use crate::runs::RunResult;

#[test]
fn a_stored_result_is_shown_as_it_is() {
    let result = RunResult { text: "null".to_owned(), data: Some(Value::Null), ..RunResult::default() };
    let shown: ShownResult = serde_json::from_value(json!(result)).unwrap();
    assert_eq!((shown.text, shown.data, shown.partial), (result.text, result.data, result.partial));
}

#[test]
fn a_field_of_a_later_version_is_ignored() {
    let shown: ShownResult = serde_json::from_value(json!({"text": "a", "sources": []})).unwrap();
    assert_eq!(shown, ShownResult { text: "a".to_owned(), ..ShownResult::default() });
}
