//! The log of a run over the API, as pages and as a stream.

use std::time::{Duration, Instant};

use e2e::events::{EventReader, log_of};
use e2e::slow::unread_answer;
use e2e::{Answer, Gateway, Stack};
use serde_json::{Value, json};
use shared::testing::eventually;

use crate::app::TestApp;

const ID: &str = "019f0000-0000-7000-8000-000000000001";
/// The promise is 30 s; a busy machine needs some more.
const CHECKED_WITHIN: Duration = Duration::from_secs(45);

fn path(run: &str) -> String {
    format!("/api/v1/runs/{run}/events")
}

/// Appends an event, as a worker does but without a broadcast.
async fn append(stack: &Stack, run: &str, kind: &str, data: &Value) {
    let sql = format!(
        "WITH r AS (UPDATE runs SET last_seq = last_seq + 1 WHERE id = '{run}' RETURNING id, last_seq)
         INSERT INTO run_events (run_id, seq, type, at, attempt, data)
         SELECT id, last_seq, '{kind}', capi_now(), 1, '{data}' FROM r"
    );
    assert_eq!(stack.database.run_sql(sql).await, 1);
}

fn seqs(page: &Answer) -> Vec<i64> {
    page.body["data"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_the_log_and_name_the_next_one() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    stack.run_of_many_events(ID, 700).await;
    let page = async |query: &str| stack.get(&gateway, &format!("{}{query}", path(ID))).await;
    assert_eq!(seqs(&page("").await), (1..=100).collect::<Vec<_>>());
    let first = page("?limit=500").await;
    assert_eq!((first.status, &first.body["nextAfter"]), (200, &json!(500)));
    assert_eq!(first.headers["content-type"], "application/json");
    let second = page("?limit=500&after=500").await;
    assert_eq!(seqs(&second), (501..=700).collect::<Vec<_>>());
    assert_eq!(second.body["nextAfter"], Value::Null, "the run is over");
    let beyond = page("?after=99999999999999999999").await;
    assert_eq!((beyond.body["data"].as_array().unwrap().len(), &beyond.body["nextAfter"]), (0, &Value::Null));
    let event = &first.body["data"][2];
    assert_eq!((&event["type"], &event["data"]["usage"]["inputTokens"]), (&json!("message"), &json!(11)));
    let within = stack.get(&gateway, &format!("/api/v1/apps/{}/runs/{ID}/events?limit=1", stack.app)).await;
    assert_eq!(within.body["data"], json!([first.body["data"][0]]));

    let pending = stack.create_run(&gateway, "x", None).await;
    let now = stack.get(&gateway, &path(&pending)).await;
    assert_eq!((seqs(&now), &now.body["nextAfter"]), (vec![1], &json!(1)), "more may follow");
    let none = stack.get(&gateway, &format!("{}?after=1", path(&pending))).await;
    assert_eq!((seqs(&none), &none.body["nextAfter"]), (vec![], &json!(1)));
    for seq in 2..60 {
        let content = if seq % 3 == 0 { "é".repeat(60 << 10) } else { "x".repeat(30 << 10) };
        append(&stack, &pending, "message", &json!({"role": "user", "content": content})).await;
    }
    let (mut after, mut all) = (0, Vec::new());
    while after < 59 {
        let page = stack.get(&gateway, &format!("{}?limit=500&after={after}", path(&pending))).await;
        let bytes = page.body.to_string().len();
        assert!((512 << 10..=1 << 20).contains(&bytes) || page.body["nextAfter"] == 59, "{bytes}");
        all.extend(seqs(&page));
        after = page.body["nextAfter"].as_i64().unwrap();
        let of_three = page.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["seq"].as_i64().unwrap() % 3 == 0);
        assert!(of_three.into_iter().all(|event| event["data"]["truncated"] == true));
    }
    assert_eq!(all, (1..=59).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_at_another_gateway_without_loss_or_repetition() {
    let stack = Stack::unlimited().await;
    let gateways = [TestApp::start(&stack).await, TestApp::start(&stack).await];
    stack.run_of_many_events(ID, 700).await;
    let (mut joined, mut last) = (Vec::new(), None);
    for part in 0.. {
        let gateway = &gateways[part % 2];
        // A browser that connects again sends both; the header wins.
        let mut stream =
            stack.events(gateway, &format!("{}?after=3", path(ID)), Some(last.unwrap_or(0))).await;
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        for (name, value) in [
            ("cache-control", "private, no-store"),
            ("x-accel-buffering", "no"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(stream.headers()[name], value);
        }
        let mut read = Vec::new();
        while let Some(message) = stream.next().await {
            read.push(message);
            if read.len() == 97 {
                break;
            }
        }
        if read.is_empty() {
            break;
        }
        last = read.last().and_then(|message| message.id);
        joined.extend(read);
    }
    assert_eq!(log_of(&joined), stack.stored_log(ID).await);
    let paged = stack.get(&gateways[0], &format!("{}?limit=500", path(ID))).await;
    let streamed: Vec<_> = joined.iter().take(500).map(|message| message.data.clone()).collect();
    assert_eq!(paged.body["data"], json!(streamed), "pages and streams show the same");
    let after = stack.events(&gateways[0], &format!("{}?after=698", path(ID)), None).await.rest().await;
    assert_eq!(log_of(&after).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [699, 700]);
    assert!(
        stack.events(&gateways[0], &path(ID), Some(5000)).await.rest().await.is_empty(),
        "nothing follows"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_follows_the_run_to_its_end_or_its_deletion() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let run = stack.create_run(&gateway, "x", None).await;
    let mut stream = stack.events(&gateway, &path(&run), None).await;
    assert_eq!(stream.next().await.unwrap().event, "run.created");
    append(&stack, &run, "run.paused", &json!({"by": "a later version"})).await;
    let unknown = stream.next().await.unwrap();
    assert_eq!((unknown.event.as_str(), &unknown.data["data"]), ("run.paused", &json!({})));
    let mut beyond = stack.events(&gateway, &path(&run), Some(2)).await;
    assert_eq!(stack.cancel_run(&gateway, &run).await.status, 200);
    for stream in [&mut stream, &mut beyond] {
        let rest = log_of(&stream.rest().await);
        assert_eq!(rest, [(3, "run.cancelled".to_owned())], "new events, then the end");
    }
    let run = stack.create_run(&gateway, "x", None).await;
    let mut stream = stack.events(&gateway, &path(&run), None).await;
    assert_eq!(stream.next().await.unwrap().id, Some(1));
    let delete = format!("DELETE FROM runs WHERE id = '{run}'");
    assert_eq!(stack.database.run_sql(delete).await, 1);
    assert!(stream.rest().await.is_empty(), "a deleted run ends its streams");
    assert_eq!(stack.get(&gateway, &path(&run)).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_does_and_keeps_its_place_until_then() {
    let mut stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let run = stack.create_run(&gateway, "x", None).await;
    let mut kept = stack.events(&gateway, &path(&run), Some(1)).await;
    stack.key = stack.create_key("second").await;
    let mut revoked = stack.events(&gateway, &path(&run), Some(1)).await;
    let poor = stack.account("poor@example.com", "big").await;
    stack.key = poor.key;
    let body = json!({"appId": poor.app, "inputs": {"text": "x"}});
    let of_poor = stack.post(&gateway, "/api/v1/runs", &body).await.body["id"].as_str().unwrap().to_owned();
    let mut downgraded = stack.events(&gateway, &path(&of_poor), Some(1)).await;
    let begun = Instant::now();
    let ends = "SELECT max(e)::text AS text FROM open_waits, unnest(ends) e";
    let first_end = stack.text(ends).await;
    stack.revoke_key("second").await;
    stack.set_plan("poor@example.com", "free").await;
    for stream in [&mut revoked, &mut downgraded] {
        assert!(stream.rest().await.is_empty());
        assert!(
            stream.others.iter().any(|line| line.contains("the key may no longer")),
            "{:?}",
            stream.others
        );
        assert!(stream.others.contains(&": still here".to_owned()), "it was told that the stream lives");
    }
    assert!(begun.elapsed() < CHECKED_WITHIN, "{:?}", begun.elapsed());
    eventually("the stream of the good key renews its place", async || {
        let open = "SELECT cardinality(ends)::text AS text FROM open_waits WHERE cardinality(ends) > 0";
        (stack.text(ends).await > first_end && stack.text(open).await == "1").then_some(())
    })
    .await;
    append(&stack, &run, "note", &json!({"kind": "files", "text": "x"})).await;
    assert_eq!(kept.next().await.unwrap().id, Some(2));
}

/// The kernel closes the connection. A stream that only waited for its client would keep its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_loses_its_stream() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let run = stack.create_run(&gateway, "x", None).await;
    for _ in 0..60 {
        append(&stack, &run, "message", &json!({"role": "user", "content": "x".repeat(60 << 10)})).await;
    }
    let host = gateway.url().trim_start_matches("http://").to_owned();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n",
        path(&run),
        stack.key
    );
    let _unread = unread_answer(&gateway, &request).await;
    let open = async |expected: &str| {
        let open = stack.text("SELECT max(cardinality(ends))::text AS text FROM open_waits").await;
        (open == expected).then_some(())
    };
    eventually("the stream is open", async || {
        let rows = stack.text("SELECT count(*)::text AS text FROM open_waits").await;
        if rows == "1" { open("1").await } else { None }
    })
    .await;
    eventually("the stream is closed", async || open("0").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_and_streams_share_twenty_places_over_all_gateways() {
    let stack = Stack::unlimited().await;
    let gateways = [TestApp::start(&stack).await, TestApp::start(&stack).await];
    let run = stack.create_run(&gateways[0], "x", None).await;
    let mut streams = Vec::new();
    for number in 0..19 {
        streams.push(stack.events(&gateways[number % 2], &path(&run), None).await);
    }
    let wait = format!("{}/api/v1/runs/{run}?wait=50", gateways[0].url());
    let waiting = tokio::spawn(stack.client().get(wait).bearer_auth(&stack.key).send());
    let counted = async |expected: &str| {
        eventually(&format!("{expected} are open"), async || {
            let open = stack.text("SELECT max(cardinality(ends))::text AS text FROM open_waits").await;
            (open == expected).then_some(())
        })
        .await;
    };
    counted("20").await;
    for gateway in &gateways {
        let request = stack.client().get(format!("{}{}", gateway.url(), path(&run))).bearer_auth(&stack.key);
        let refused = stack.send(request.header("accept", "text/event-stream")).await;
        assert_eq!((refused.status, &refused.body["code"]), (429, &json!("too_many_streams")), "{refused:?}");
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(stack.get(gateway, &path(&run)).await.status, 200, "pages need no place");
        let head = stack.client().head(format!("{}{}", gateway.url(), path(&run))).bearer_auth(&stack.key);
        let head = stack.send(head.header("accept", "text/event-stream")).await;
        assert_eq!(
            (head.status, &head.headers["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
    }
    streams.truncate(10);
    counted("11").await;
    let _again: EventReader = stack.events(&gateways[1], &path(&run), None).await;
    counted("12").await;
    waiting.abort();
}
