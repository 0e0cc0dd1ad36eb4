//! Clients that ask for much and do not read it: what they cost is bounded, and they are cut off (A7).

use std::io::ErrorKind;
use std::time::Duration;

use e2e::console::EMAIL;
use e2e::slow::{unread, unread_answer};
use e2e::{Gateway, Stack};
use serde_json::{Value, json};
use shared::testing::eventually;
use tokio::io::AsyncWriteExt;

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
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}});
    let create = async || {
        let url = format!("{}/api/v1/runs", gateway.url());
        let request = stack.client().post(url).bearer_auth(&stack.key).header("idempotency-key", "one");
        stack.send(request.header("prefer", "wait=1").json(&body)).await
    };
    assert_eq!(create().await.status, 202);
    let finish = "UPDATE runs SET status = 'completed', started_at = capi_now(), completed_at = capi_now(), \
                  result = jsonb_build_object('text', repeat('x', 102400)) \
                  WHERE id IN (SELECT run_id FROM idempotency_keys)";
    assert_eq!(stack.database.run_sql(finish).await, 1);
    let refused = eventually("the account's next large answer is refused", async || {
        // A busy gateway answers some clients 503, and these hold nothing.
        clients.push(unread(&gateway, WHOLE, &stack.key).await);
        let answer = stack.get_once(&gateway, WHOLE).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert!(refused.body["detail"].as_str().unwrap().contains("have not read"), "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(stack.get(&gateway, "/api/v1/models").await.status, 200, "small answers go on");
    let created = create().await;
    assert_eq!(created.status, 200, "an accepted create is never answered with a refusal: {created:?}");
    assert!(created.body.to_string().len() > 100 << 10);
    let url = format!("{}{WHOLE}", gateway.url());
    let neighbour = stack.send(stack.client().get(url).bearer_auth(&other.key)).await;
    assert_eq!(neighbour.status, 200, "another account is not to blame");

    // No client reads. The kernel closes their connections, which frees the answers.
    eventually("the account gets its answers again", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        (stack.get_once(&gateway, WHOLE).await.status == 200).then_some(())
    })
    .await;
    // A client that reads would get its answer if its connection is younger. One that only sends learns that
    // its connection is closed.
    let mut open = clients;
    eventually("all connections are closed", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        open.retain(|client| {
            let failed = client.try_write(b"G").is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
            !failed && client.take_error().unwrap().is_none()
        });
        open.is_empty().then_some(())
    })
    .await;
}

/// A create that is sent again is answered with its run, whatever is unread.
#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_to_posts_refuse_the_next_request_before_its_effect() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_console(&stack).await;
    let session = stack.session(&gateway, EMAIL).await;
    let host = gateway.url().trim_start_matches("http://").to_owned();
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}});
    let url = format!("{}/api/v1/runs", gateway.url());
    let create = stack.client().post(url).bearer_auth(&stack.key).header("idempotency-key", "one");
    assert_eq!(stack.send(create.json(&body)).await.status, 202);
    let finish = "UPDATE runs SET status = 'completed', started_at = capi_now(), completed_at = capi_now(), \
                  result = jsonb_build_object('text', repeat('x', 3145728))";
    assert_eq!(stack.database.run_sql(finish).await, 1);
    let (key, text) = (&stack.key, body.to_string());
    let request = format!(
        "POST /api/v1/runs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nPrefer: wait=1\r\n\
         Idempotency-Key: one\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\r\n{text}",
        text.len()
    );
    // All but the last byte of each is there before the first answer.
    let (most, last) = request.split_at(request.len() - 1);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(unread_answer(&gateway, most).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut statuses = Vec::new();
    for client in &mut clients {
        client.write_all(last.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        client.peek(&mut start).await.unwrap();
        statuses.push(String::from_utf8_lossy(&start[9..]).into_owned());
    }
    let given = statuses.iter().filter(|status| *status == "200").count();
    assert!((1..=3).contains(&given), "few large answers are in memory: {statuses:?}");
    assert!(statuses.ends_with(&["429".to_owned()]), "{statuses:?}");
    let refused = stack.post(&gateway, "/api/v1/runs", &body).await;
    assert!(refused.status == 429 && refused.headers.contains_key("retry-after"), "{refused:?}");
    assert!(refused.body["detail"].as_str().unwrap().contains("have not read"), "{refused:?}");
    assert_eq!(
        stack.text("SELECT count(*)::text AS text FROM runs").await,
        "1",
        "a refused create has no effect"
    );
    assert_eq!(stack.page(&gateway, "/apps", &session.cookie).await.0, 429);
    drop(clients);
    eventually("the account is served again", async || {
        (stack.post(&gateway, "/api/v1/runs", &body).await.status == 202).then_some(())
    })
    .await;
}
