//! Uploads in flight.

use e2e::form::{BOUNDARY, Part, form};
use e2e::{Answer, Gateway, Stack};
use shared::testing::eventually;

use crate::app::TestApp;

const FILE_APP: &str = "name = 'Files'\nprompt = 'x'\ntools = ['read_file']";
/// Uploads that an account may have in flight.
const UPLOADS: usize = 8;

async fn create_and_wait(stack: &Stack, gateway: &TestApp, path: &str) -> Answer {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = stack.client().post(format!("{}{path}", gateway.url())).bearer_auth(&stack.key);
    let request = request.header("content-type", kind).header("prefer", "wait=20");
    stack.send(request.body(form(&[("name=\"files\"; filename=\"a\"", b"x")]))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_held_is_no_upload_in_flight() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let path = &format!("/api/v1/apps/{}/runs", stack.import(FILE_APP).await);
    let waits = futures_util::future::join_all((0..UPLOADS).map(|_| create_and_wait(&stack, &gateway, path)));
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
