//! Hostile bodies: each gets an answer below 500, and the gateway serves the next request.

use std::time::Duration;

use e2e::{Gateway, Stack};
use shared::testing::property::{check_inputs, repeated};

use crate::app::TestApp;

/// Bytes of a generated body.
const MOST: usize = 200_000;

const JSON_PARTS: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "{\"a\":",
    "\"",
    ":",
    ",",
    "1",
    "-",
    "e9",
    "null",
    "true",
    "\\u0000",
    "\\ud800",
    "é",
    "\"appId\":",
    "\"inputs\":",
    "\"metadata\":",
    " ",
    "\n",
    "\\",
    "[1,",
    "{\"text\": \"x\"}",
];

const MULTIPART_PARTS: &[&str] = &[
    "--b",
    "\r\n",
    "--",
    "Content-Disposition: form-data; name=\"",
    "inputs",
    "table",
    "\"",
    "; filename=\"",
    "../",
    "\0",
    "é",
    "\r\n\r\n",
    "Content-Type: application/json\r\n",
    "{\"appId\": 1}",
    "x",
    ";",
    "=",
    ":",
    "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n",
    "--b--\r\n",
    "\\",
];

/// Checks the answers to a create with this content type.
fn check(corpus: &str, parts: &'static [&'static str], content_type: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let stack = runtime.block_on(Stack::unlimited());
    let gateway = runtime.block_on(TestApp::start(&stack));
    check_inputs(corpus, repeated(parts, MOST), |body| {
        runtime.block_on(async {
            let url = format!("{}/api/v1/runs", gateway.url());
            let post = async || {
                let post = stack.client().post(&url).bearer_auth(&stack.key);
                stack.send(post.header("content-type", content_type).body(body.to_owned())).await
            };
            let mut answer = post().await;
            // A busy machine may be slower than a gateway waits, but not again and again.
            for _ in 0..3 {
                if answer.status == 503 {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    answer = post().await;
                }
            }
            if answer.status >= 500 {
                return Err(format!("{answer:?}"));
            }
            let alive = stack.get(&gateway, "/api/v1/me").await;
            if alive.status == 200 { Ok(()) } else { Err(format!("afterwards: {alive:?}")) }
        })
    });
    runtime.block_on(async { drop((gateway, stack)) });
}

#[test]
fn property_of_json_bodies() {
    check("json", JSON_PARTS, "application/json");
}

#[test]
fn property_of_multipart_bodies() {
    check("multipart", MULTIPART_PARTS, "multipart/form-data; boundary=b");
}
