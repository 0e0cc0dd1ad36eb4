//! Clients that ask for much and do not read it: what they cost is bounded, and they are cut off (A7).

use std::time::Duration;

use e2e::slow::unread;
use e2e::{Gateway, Stack};
use serde_json::Value;
use shared::testing::{WAIT_LIMIT, eventually};
use tokio::io::AsyncReadExt;

use crate::app::TestApp;

const MIB: usize = 1 << 20;
const WHOLE: &str = "/api/v1/runs?include=inputs,result";
/// Twelve clients held 600 MiB.
const CLIENTS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_cut_by_bytes_and_the_cursor_continues() {
    const RUNS: usize = 20;
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    stack.backlog(RUNS - 1, &"x".repeat(MIB / 4)).await;
    stack.backlog(1, &"x".repeat(2 * MIB)).await;
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let path = cursor.map_or(WHOLE.to_owned(), |cursor| format!("{WHOLE}&cursor={cursor}"));
        let page = stack.get(&gateway, &path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let runs = page.body["data"].as_array().unwrap();
        let bytes = page.body.to_string().len();
        assert!(!runs.is_empty() && (runs.len() == 1 || bytes < MIB + MIB / 2), "{} {bytes}", runs.len());
        assert!(runs.iter().all(|run| run["inputs"].is_object() && run["result"].is_null()));
        seen.extend(runs.iter().map(|run| run["id"].as_str().unwrap().to_owned()));
        pages += 1;
        match &page.body["nextCursor"] {
            Value::String(next) => cursor = Some(next.clone()),
            _ => break,
        }
    }
    let listed = stack.get(&gateway, "/api/v1/runs?limit=100").await;
    let all: Vec<_> =
        listed.body["data"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(seen, all, "each run once, in the order of the list");
    assert!((7..=11).contains(&pages), "the pages are full: {pages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_stop_only_their_account_and_are_cut_off() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    // Three fit into a page.
    stack.backlog(20, &"x".repeat(MIB / 4)).await;
    let other = stack.account("other@example.com", "big").await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(unread(&gateway, WHOLE, &stack.key).await);
    }
    let refused = eventually("the account's next large answer is refused", async || {
        let answer = stack.get(&gateway, WHOLE).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert!(refused.body["detail"].as_str().unwrap().contains("have not read"), "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(stack.get(&gateway, "/api/v1/models").await.status, 200, "small answers go on");
    let url = format!("{}{WHOLE}", gateway.url());
    let neighbour = stack.send(stack.client().get(url).bearer_auth(&other.key)).await;
    assert_eq!(neighbour.status, 200, "another account is not to blame");

    // No client reads. The kernel closes their connections, which frees the answers.
    eventually("the account gets its answers again", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        (stack.get(&gateway, WHOLE).await.status == 200).then_some(())
    })
    .await;
    let mut cut = 0;
    for mut client in clients {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(WAIT_LIMIT, client.read_to_end(&mut answer)).await.unwrap();
        cut += usize::from(read.is_err() || !answer.ends_with(b"}"));
    }
    assert!(cut >= CLIENTS / 2, "{cut} answers were cut off");
}
