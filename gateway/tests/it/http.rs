//! The rules of HTTP, the same on every path.

use std::collections::BTreeSet;

use e2e::{Gateway, Stack};
use serde_json::Value;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn http_is_spoken_as_it_should_be() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let id = stack.create_run(&gateway, "hello", None).await;
    let url = format!("{}/api/v1/runs/{id}", gateway.url());
    let request = |method: &str| stack.client().request(method.parse().unwrap(), &url);
    let got = stack.send(request("GET").bearer_auth(&stack.key)).await;
    let head = stack.send(request("HEAD").bearer_auth(&stack.key)).await;
    assert_eq!((head.status, &head.body), (200, &Value::Null));
    for name in ["etag", "retry-after", "content-type", "cache-control", "content-length"] {
        assert_eq!(head.headers.get(name), got.headers.get(name), "{name}");
    }
    assert_eq!(got.headers["cache-control"], "private, no-store");
    let options = stack.send(request("OPTIONS")).await;
    assert_eq!(
        (options.status, &options.headers["allow"]),
        (204, &"GET, HEAD, DELETE, OPTIONS".parse().unwrap())
    );
    assert!(options.headers.get("access-control-allow-origin").is_none(), "keys do not belong in browsers");
    let wrong = stack.send(request("PUT").bearer_auth(&stack.key)).await;
    assert_eq!(
        (wrong.status, &wrong.headers["allow"]),
        (405, &"GET, HEAD, DELETE, OPTIONS".parse().unwrap())
    );

    let tag = got.headers["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let known = |tag: &str| stack.send(request("GET").bearer_auth(&stack.key).header("if-none-match", tag));
    let unchanged = known(&format!("\"other\", {tag}")).await;
    assert_eq!((unchanged.status, &unchanged.headers["etag"]), (304, &tag.parse().unwrap()));
    stack.cancel_run(&gateway, &id).await;
    let changed = known(&tag).await;
    assert_eq!((changed.status, changed.headers.get("retry-after")), (200, None));

    let own = stack.send(request("GET").bearer_auth(&stack.key).header("x-request-id", "my-id_1.2")).await;
    assert_eq!(own.headers["x-request-id"], "my-id_1.2");
    let mut given = BTreeSet::new();
    for insane in ["a b", "x".repeat(200).as_str(), "<script>"] {
        let answer = stack.send(request("GET").bearer_auth(&stack.key).header("x-request-id", insane)).await;
        given.insert(answer.headers["x-request-id"].to_str().unwrap().to_owned());
    }
    assert!(given.len() == 3 && given.iter().all(|id| id.len() == 36), "{given:?}");

    let refused = stack.send(request("GET").bearer_auth(&stack.key).header("accept-encoding", "*;q=0")).await;
    assert_eq!((refused.status, &refused.body["code"]), (406, &"not_acceptable".into()));

    for number in 0..20 {
        stack.create_run(&gateway, &format!("run {number}"), None).await;
    }
    let list = stack.client().get(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
    let packed = list.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));
    let small =
        request("GET").bearer_auth(&stack.key).header("accept-encoding", "gzip").send().await.unwrap();
    assert!(small.headers().get("content-encoding").is_none(), "not worth it");
}
