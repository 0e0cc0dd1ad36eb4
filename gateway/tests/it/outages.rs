//! What the gateway answers while the database is stuck.

use e2e::Stack;
use shared::testing::eventually;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stuck_is_unavailable_and_not_our_fault() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    stack.create_run(&gateway, "hello", None).await;
    let lock = stack.meanwhile("SELECT 1 FROM rate_windows FOR UPDATE").await;
    let answer = stack.get(&gateway, "/api/agentapps").await;
    assert_eq!((answer.status, &answer.body["code"]), (503, &"unavailable".into()), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    drop(lock);
    eventually("it works again", async || {
        (stack.get(&gateway, "/api/agentapps").await.status == 200).then_some(())
    })
    .await;
}
