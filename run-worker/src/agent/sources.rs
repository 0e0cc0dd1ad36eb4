//! Which tool results hold no text of the model. The model did not compose the URLs in them. Pure.

use serde_json::Value;
use shared::runs::events::{RequestedCall, ToolResult};

use crate::egress::Origin;
use crate::workspace::WorkspacePath;

/// Who wrote the result, unless the model may have written a part of it. A program or a file in the workspace
/// repeats what the model put there, and an error quotes the arguments.
pub(super) fn origin(call: &RequestedCall, result: &ToolResult) -> Option<Origin> {
    match call.name.as_str() {
        _ if result.is_error => None,
        "fetch_url" | "web_search" => Some(Origin::Page),
        "read_file" if reads_inputs(&call.arguments) => Some(Origin::Given),
        _ => None,
    }
}

/// Whether the call reads one of the caller's files, which no tool can change.
fn reads_inputs(arguments: &str) -> bool {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let path = arguments["path"].as_str().map(WorkspacePath::parse);
    matches!(path, Some(Ok(WorkspacePath::Inputs(_))))
}

#[cfg(test)]
mod tests {
    use super::super::events::tool_result;
    use super::*;
    use uuid::Uuid;

    #[test]
    fn only_pages_and_input_files_are_sources() {
        let origin = |name: &str, arguments: &str, is_error| {
            let call = RequestedCall {
                id: Uuid::nil(),
                provider_id: String::new(),
                name: name.to_owned(),
                arguments: arguments.to_owned(),
                extra: None,
            };
            super::origin(&call, &tool_result(&call, String::new(), is_error))
        };
        assert_eq!(origin("fetch_url", "{}", false), Some(Origin::Page));
        assert_eq!(origin("web_search", "{}", false), Some(Origin::Page));
        assert_eq!(origin("fetch_url", "{}", true), None, "it quotes the URL");
        assert_eq!(origin("read_file", r#"{"path": "/workspace/inputs/a.csv"}"#, false), Some(Origin::Given));
        for path in ["a.csv", "inputs/../a.csv", "inputsx/a"] {
            assert_eq!(origin("read_file", &format!(r#"{{"path": "{path}"}}"#), false), None, "{path}");
        }
        assert_eq!(origin("shell", r#"{"script": "echo https://e.org/"}"#, false), None);
    }
}
