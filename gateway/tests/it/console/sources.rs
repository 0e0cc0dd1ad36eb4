//! The web pages of a run: in its thread, in its summary, in the API and in its events.

use e2e::console::EMAIL;
use e2e::{Gateway, Stack};
use serde_json::{Value, json};

use crate::app::TestApp;

const HOSTILE: &str = "\"><script>alert(1)</script>";

/// Makes the run a completed one that searched.
async fn complete_with_sources(stack: &Stack, run: &str) {
    let call = "01a227ce-c469-7567-8040-b5b344d83370";
    let found = json!([
        {"id": 1, "url": "https://e.example/a?b=1&c=2", "title": "The museum", "how": "searched",
         "snippet": "It opens at nine.", "date": "2026-11-20"},
        {"id": 2, "url": "javascript:alert(1)", "title": HOSTILE, "how": "searched", "snippet": HOSTILE},
    ]);
    let arguments = json!({"count": 2, "query": "opening hours"}).to_string();
    let search = json!({"callId": call, "name": "web_search", "arguments": arguments, "step": 1});
    let result = json!({"callId": call, "name": "web_search", "content": "[1] The museum", "isError": false,
        "sources": found});
    for (seq, kind, data) in
        [(2, "tool.call", search), (3, "tool.result", result), (4, "run.completed", json!({}))]
    {
        let sql = format!(
            "INSERT INTO run_events (run_id, seq, type, at, attempt, data)
             VALUES ('{run}', {seq}, '{kind}', capi_now(), 1, $json${data}$json$)"
        );
        stack.database.run_sql(sql).await;
    }
    let stored = json!({"text": "It opens at nine [1].", "sources": [
        {"id": 1, "url": "https://e.example/a?b=1&c=2", "title": "The museum", "how": "cited"},
        {"id": 2, "url": "javascript:alert(1)", "title": HOSTILE, "how": "searched"},
    ]});
    let sql = format!(
        "UPDATE runs SET status = 'completed', started_at = capi_now(), completed_at = capi_now(),
            last_seq = 4, result = $json${stored}$json$ WHERE id = '{run}'"
    );
    stack.database.run_sql(sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_a_list_of_links_and_the_summary_lists_all_sources() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let (run, session) = (stack.create_run(&gateway, "x", None).await, stack.session(&gateway, EMAIL).await);
    let path = format!("/runs/{run}");
    let before = stack.page(&gateway, &path, &session.cookie).await.1;
    assert!(!before.contains("sources-head"), "a run without web pages has no list");
    complete_with_sources(&stack, &run).await;
    let page = stack.page(&gateway, &path, &session.cookie).await.1;
    let (summary, thread) = page.split_once("id=\"thread-head\"").unwrap();
    let link = "<a href=\"https://e.example/a?b=1&#38;c=2\" target=\"_blank\" rel=\"noreferrer noopener \
                nofollow\">";
    for part in [summary, thread] {
        assert_eq!(part.matches(link).count(), 1, "{part}");
        assert!(part.contains("The museum") && !part.contains("href=\"javascript"), "{part}");
        assert!(part.contains("&#62;&#60;script&#62;alert(1)"), "{part}");
    }
    assert!(summary.contains("<span class=\"badge\">cited</span>"), "{summary}");
    assert!(summary.contains("Only in search results (1)"), "{summary}");
    assert!(thread.contains("It opens at nine.") && thread.contains("e.example · 2026-11-20"), "{thread}");
    assert!(thread.contains("<span class=\"about\">opening hours</span>"), "{thread}");
    assert!(!page.contains("<script>alert"), "{page}");
    let live = format!("{}{path}/live?after=2", gateway.url());
    let stream = stack.client().get(live).header("cookie", &session.cookie).send().await.unwrap();
    let stream = stream.text().await.unwrap();
    assert!(stream.contains("data-into=\"call-") && stream.contains("class=\"found\""), "{stream}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_shows_the_sources_of_a_run_and_of_its_events() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let run = stack.create_run(&gateway, "x", None).await;
    complete_with_sources(&stack, &run).await;
    let shown = stack.get(&gateway, &format!("/api/v1/runs/{run}")).await.body;
    let expected = json!({"text": "It opens at nine [1].", "artifacts": [], "sources": [
        {"id": 1, "url": "https://e.example/a?b=1&c=2", "title": "The museum", "how": "cited"},
        {"id": 2, "url": "javascript:alert(1)", "title": HOSTILE, "how": "searched"},
    ]});
    assert_eq!(shown["result"], expected);
    let events = stack.get(&gateway, &format!("/api/v1/runs/{run}/events")).await.body;
    let found: Vec<&Value> =
        events["data"].as_array().unwrap().iter().filter(|event| event["type"] == "tool.result").collect();
    let [found] = found[..] else { panic!("{events}") };
    assert_eq!(found["data"]["sources"][0]["date"], "2026-11-20", "{found}");
    assert_eq!(found["data"]["sources"][1]["how"], "searched", "{found}");
    assert!(found["data"]["sources"][1].get("date").is_none(), "{found}");
}
