//! Artifacts are downloaded by key or by signed link, whole or in part, and never run where they are.

use std::time::Duration;

use bytes::Bytes;
use e2e::{Gateway, Stack};
use reqwest::header::HeaderMap;
use serde_json::Value;
use shared::ids::ArtifactId;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_are_downloaded_by_key_and_by_link() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let bytes = Bytes::from("<script>alert(1)</script>".repeat(4000));
    let run = stack.create_run(&gateway, "hello", None).await;
    let title = "Übersicht \"Q3\"/../x.html";
    stack.add_artifact(run.parse().unwrap(), ArtifactId::generate(), "text/html", title, bytes.clone()).await;

    let shown = stack.get(&gateway, &format!("/api/v1/runs/{run}")).await.body["artifacts"][0].clone();
    assert_eq!((&shown["title"], &shown["size"]), (&title.into(), &bytes.len().into()));
    let path = shown["url"].as_str().unwrap().strip_prefix("http://capi.test").unwrap().to_owned();
    let link = shown["downloadUrl"].as_str().unwrap().strip_prefix("http://capi.test").unwrap().to_owned();
    let get = async |path: &str, headers: &[(&str, &str)]| -> (u16, HeaderMap, Bytes) {
        let mut request = stack.client().get(format!("{}{path}", gateway.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().clone(), answer.bytes().await.unwrap())
    };
    let bearer = format!("Bearer {}", stack.key);
    let key = ("authorization", bearer.as_str());
    for (path, headers) in [(&path, vec![key, ("accept-encoding", "gzip")]), (&link, vec![])] {
        let (status, headers, body) = get(path, &headers).await;
        assert_eq!((status, &body), (200, &bytes));
        assert_eq!(headers["content-length"], bytes.len().to_string());
        assert_eq!(headers["content-type"], "text/html");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers["content-security-policy"].to_str().unwrap().contains("sandbox"));
        let disposition = headers["content-disposition"].to_str().unwrap();
        assert!(disposition.starts_with("attachment; ") && !disposition.contains('/'), "{disposition}");
        assert!(disposition.contains("filename*=UTF-8''%C3%9Cbersicht"), "{disposition}");
        assert!(headers.get("content-encoding").is_none());
        assert_eq!(headers["cache-control"], "private, no-store");
        assert_eq!(headers.contains_key("ratelimit"), path != &link, "links do not count");
    }
    assert_eq!(get(&path, &[]).await.0, 401);
    let head = stack.client().head(format!("{}{link}", gateway.url())).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &bytes.len().to_string().parse().unwrap())
    );

    let (status, headers, body) = get(&link, &[("range", "bytes=10-19")]).await;
    assert_eq!((status, body), (206, bytes.slice(10..20)));
    assert_eq!(headers["content-range"], format!("bytes 10-19/{}", bytes.len()));
    let (status, headers, body) = get(&link, &[("range", "bytes=-5")]).await;
    assert_eq!((status, body.len(), &headers["content-length"]), (206, 5, &"5".parse().unwrap()));
    let (status, headers, body) = get(&link, &[("range", "bytes=999999-")]).await;
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &problem["code"]), (416, &"range_not_satisfiable".into()));
    assert_eq!(headers["content-range"], format!("bytes */{}", bytes.len()));
    let etag = headers_of(&get(&link, &[]).await.1);
    for known in [etag.clone(), format!("W/{etag}"), "*".to_owned()] {
        assert_eq!(get(&link, &[("if-none-match", &known)]).await.0, 304, "{known}");
    }
    assert_eq!(get(&link, &[("range", "bytes=0-0"), ("if-range", &etag)]).await.0, 206);
    assert_eq!(get(&link, &[("range", "bytes=0-0"), ("if-range", "\"other\"")]).await.0, 200);

    stack.artifacts().delete_all(run.parse().unwrap()).await.unwrap();
    let gone = stack.client().head(format!("{}{link}", gateway.url())).send().await.unwrap();
    assert_eq!((gone.status().as_u16(), get(&link, &[]).await.0), (404, 404), "the bytes are gone");

    let mut longer = link.clone();
    longer.insert(longer.find("expires=").unwrap() + "expires=".len(), '9');
    for (changed, status) in
        [(longer, 403), (format!("{link}x"), 403), (link.replace("signature", "sig"), 401)]
    {
        assert_eq!(get(&changed, &[]).await.0, status, "{changed}");
    }
    stack.database.set_clock_ahead(Duration::from_hours(8 * 24)).await;
    let (status, _, body) = get(&link, &[]).await;
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &problem["code"]), (403, &"link_expired".into()));
}

fn headers_of(headers: &HeaderMap) -> String {
    headers["etag"].to_str().unwrap().to_owned()
}
