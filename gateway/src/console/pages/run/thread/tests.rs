use chrono::DateTime;
use serde_json::{Value, json};

use super::*;

fn events(all: &[(&str, Value)]) -> Vec<Event> {
    let event = |(at, (kind, data)): (usize, &(&str, Value))| Event {
        seq: i64::try_from(at).unwrap() + 1,
        r#type: (*kind).to_owned(),
        at: DateTime::UNIX_EPOCH,
        attempt: 1,
        data: data.clone(),
    };
    all.iter().enumerate().map(event).collect()
}

const CALL: &str = "01a227ce-c469-7567-8040-b5b344d83370";

#[test]
fn a_result_is_shown_in_its_call_or_alone_if_the_call_came_earlier() {
    let run = RunId::generate();
    let call = (
        "tool.call",
        json!({
            "callId": CALL, "name": "fetch_url", "step": 1,
            "arguments": "{\"url\":\"https://e.example/a\"}",
        }),
    );
    let result = (
        "tool.result",
        json!({"callId": CALL, "name": "fetch_url", "content": "a <b>page</b>", "isError": false}),
    );
    let both = render(run, &events(&[call.clone(), result.clone()])).unwrap();
    assert_eq!(both.matches("<li").count(), 1, "{both}");
    assert!(both.contains("href=\"https://e.example/a\"") && both.contains("a &#60;b&#62;page"), "{both}");
    let alone = render(run, &events(&[result])).unwrap();
    assert!(alone.contains(&format!("data-into=\"call-{CALL}\"")), "{alone}");
    assert_eq!(render(run, &events(&[call])).unwrap().matches("<li").count(), 1);
}

#[test]
fn a_search_is_a_list_of_links_beside_its_call() {
    let run = RunId::generate();
    let arguments = json!({"count": 2, "query": "museum"}).to_string();
    let call =
        ("tool.call", json!({"callId": CALL, "name": "web_search", "step": 1, "arguments": arguments}));
    let hostile = "\"><script>alert(1)</script>";
    let sources = json!([
        {"id": 1, "url": "https://e.example/a", "title": "The museum", "how": "searched",
         "snippet": "It opens at nine.", "date": "2026-11-20"},
        {"id": 2, "url": "javascript:alert(1)", "title": hostile, "how": "searched", "snippet": hostile,
         "date": hostile},
        {"id": 3, "url": format!("https://e.example/{hostile}"), "how": "searched"},
    ]);
    let result = (
        "tool.result",
        json!({"callId": CALL, "name": "web_search", "content": "[1] …", "isError": false,
            "sources": sources}),
    );
    let both = render(run, &events(&[call, result.clone()])).unwrap();
    assert!(both.contains("<span class=\"about\">museum</span>"), "{both}");
    let (details, beside) = both.split_once("</details>").unwrap();
    assert!(!details.contains("e.example") && beside.starts_with("<div class=\"found\">"), "{both}");
    assert!(beside.contains("<a href=\"https://e.example/a\" target=\"_blank\" rel=\"noreferrer"), "{both}");
    assert!(beside.contains("The museum") && beside.contains("It opens at nine."), "{both}");
    assert!(beside.contains("e.example · 2026-11-20"), "{both}");
    let alone = render(run, &events(&[result])).unwrap();
    for html in [&both, &alone] {
        assert_eq!(html.matches("<a href").count(), 2, "{html}");
        for bad in ["<script", "href=\"javascript", "\"><script"] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
    }
    assert!(alone.contains("</div><div class=\"found\">"), "{alone}");
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>";
    let all = events(&[
        ("message", json!({"role": "system", "content": hostile})),
        ("message", json!({"role": "user", "content": hostile})),
        (
            "message",
            json!({
                "role": "assistant", "content": hostile, "reasoning": {"thinking": hostile},
                "finishReason": hostile, "usage": {"inputTokens": 1, "outputTokens": 1},
            }),
        ),
        (
            "tool.call",
            json!({"callId": CALL, "name": hostile, "step": 1,
                "arguments": json!({"url": "javascript:alert(1)", hostile: hostile}).to_string()}),
        ),
        ("tool.call", json!({"callId": Uuid::now_v7(), "name": "x", "arguments": hostile, "step": 1})),
        (
            "tool.result",
            json!({"callId": Uuid::now_v7(), "name": hostile, "content": hostile, "isError": false}),
        ),
        ("artifact", json!({"id": CALL, "title": hostile, "type": hostile, "size": 1, "sha256": hostile})),
        ("note", json!({"kind": hostile, "text": hostile})),
        ("run.created", json!({"source": hostile})),
        ("run.started", json!({"worker": hostile})),
        ("run.taken_over", json!({"worker": hostile, "losses": 1})),
        (
            "run.failed",
            json!({"error": {"code": hostile, "message": hostile, "step": null, "retryable": false}}),
        ),
        // An event that cannot be read is one line with its type.
        ("tool.call", json!({"callId": hostile})),
        ("artifact", json!({"id": hostile})),
        (hostile, json!({})),
    ]);
    let html = render(RunId::generate(), &all).unwrap();
    for bad in ["<script", "<img", "href=\"javascript", "\"'>"] {
        assert!(!html.contains(bad), "{bad}: {html}");
    }
    assert_eq!(html.matches("<li").count(), all.len());
    assert_eq!(html.matches("class=\"line \"").count(), 5, "{html}");
}
