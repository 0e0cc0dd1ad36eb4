//! The stream of a run's events, read without a browser.

use e2e::console::EMAIL;
use e2e::{Gateway, Stack};

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_its_reader_was_and_ends_with_the_session() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let id = "019f0000-0000-7000-8000-000000000001";
    stack.run_of_many_events(id, 700).await;
    let session = stack.session(&gateway, EMAIL).await;
    let read = async |after: &str| {
        let url = format!("{}/runs/{id}/live", gateway.url());
        let request =
            stack.client().get(url).header("cookie", &session.cookie).header("last-event-id", after);
        request.send().await.unwrap().text().await.unwrap()
    };
    let all = read("0").await;
    // About 150 KB of events, in pieces of 32 KiB.
    let pieces = all.matches("event: events").count();
    assert!((4..=8).contains(&pieces), "in pieces: {pieces}");
    assert!(
        all.contains("id: 700\n")
            && all.contains("event: summary")
            && all.ends_with("event: over\ndata: \n\n")
    );
    let rest = read("690").await;
    assert!(rest.contains("data-seq=\"693\"") && !rest.contains("data-seq=\"690\""), "{rest}");
    assert_eq!(read("700").await.matches("event: events").count(), 0);
    let raw = stack.page(&gateway, &format!("/runs/{id}/events.jsonl"), &session.cookie).await.1;
    let seqs: Vec<u64> = raw
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=700).collect::<Vec<_>>());
    assert_eq!(stack.form(&gateway, "/sign-out", Some(&session), &[]).await.status, 303);
    assert!(read("0").await.contains("Sign in"), "the cookie is worth nothing any more");
}
