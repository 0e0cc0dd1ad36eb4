//! Uploads: how many are in flight, and which are never stored.

use e2e::form::{BOUNDARY, Part, form};
use e2e::{Answer, Gateway, Stack, patiently};
use futures_util::stream;
use shared::testing::eventually;

use crate::app::TestApp;

const FILE_APP: &str = "name = 'Files'\nprompt = 'x'\ntools = ['read_file']";
/// Uploads that an account may have in flight.
const UPLOADS: usize = 8;

async fn create_and_wait(stack: &Stack, gateway: &TestApp, path: &str, key: usize) -> Answer {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    patiently(async || {
        let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&stack.key);
        let request = request.header("content-type", &kind).header("prefer", "wait=20");
        let request = request.header("idempotency-key", key);
        stack.send(request.body(form(&[("name=\"files\"; filename=\"a\"", b"x")]))).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_held_is_no_upload_in_flight() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let path = &format!("/api/v1/apps/{}/runs", stack.import(FILE_APP).await);
    let waits =
        futures_util::future::join_all((0..UPLOADS).map(|key| create_and_wait(&stack, &gateway, path, key)));
    let ninth = async {
        eventually("all wait", async || {
            (stack.database.run_sql("SELECT 1 FROM runs").await == UPLOADS).then_some(())
        })
        .await;
        let form: &[Part] = &[("name=\"files\"; filename=\"a\"", b"x")];
        stack.post_form(&gateway, path, None, form).await
    };
    tokio::select! {
        answers = waits => panic!("the answers were not held: {answers:?}"),
        answer = ninth => assert_eq!(answer.status, 202, "{answer:?}"),
    }
}

/// The store of the second gateway refuses every file, which shows that it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_with_a_known_key_is_never_stored() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let more_than_any_disk = (u64::MAX / 2).to_string();
    let full = TestApp::start_with(&stack, "CAPI_ARTIFACTS_RESERVE_BYTES", &more_than_any_disk).await;
    let path = &format!("/api/v1/apps/{}/runs", stack.import(FILE_APP).await);
    for bytes in [1, 1_500_000] {
        let (content, other) = (vec![b'x'; bytes], vec![b'y'; bytes]);
        let form: &[Part] = &[("name=\"files\"; filename=\"a\"", &content)];
        let key = &format!("key-{bytes}");
        let first = stack.post_form(&gateway, path, Some(key), form).await;
        assert_eq!(first.status, 202, "{first:?}");
        let again = stack.post_form(&full, path, Some(key), form).await;
        assert_eq!((again.status, &again.body["id"]), (202, &first.body["id"]), "{again:?}");
        let form: &[Part] = &[("name=\"files\"; filename=\"a\"", &other)];
        let conflict = stack.post_form(&full, path, Some(key), form).await;
        assert_eq!(conflict.body["code"], "idempotency_conflict", "{conflict:?}");
        assert_eq!(stack.post_form(&full, path, Some("new"), form).await.status, 507);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_length_counts_as_the_largest_before_it_is_read() {
    let plan = "api = true\nrequests_per_minute = 1000\napi_keys = 1\nrunning_runs = 1\n\
                max_request_bytes_per_day = 50000000";
    let stack = Stack::create("small", &format!("[plans.small]\n{plan}\n")).await;
    let gateway = TestApp::start(&stack).await;
    let path = format!("/api/v1/apps/{}/runs", stack.import(FILE_APP).await);
    let body = form(&[("name=\"files\"; filename=\"a\"", b"x")]);
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let send = async |key: &str| {
        let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&stack.key);
        let request = request.header("content-type", &kind).header("idempotency-key", key);
        let pieces = stream::iter([Ok::<_, std::io::Error>(body.clone())]);
        stack.send(request.body(reqwest::Body::wrap_stream(pieces))).await
    };
    let refused = send("new").await;
    assert_eq!(
        (refused.status, &refused.body["quota"]),
        (409, &"maxRequestBytesPerDay".into()),
        "{refused:?}"
    );
    let file: &[Part] = &[("name=\"files\"; filename=\"a\"", b"x")];
    assert_eq!(stack.post_form(&gateway, &path, Some("known"), file).await.status, 202);
    assert_eq!(send("known").await.status, 202, "a replay needs no room");
}
