//! The contract's own pages: the OpenAPI document, the reference, the problems.

use std::collections::HashMap;

use e2e::{Gateway, Stack};
use gateway::http::problems::Problem;
use serde_json::Value;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_readable_without_a_key_and_without_the_network() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let get = |path: &str| stack.client().get(format!("{}{path}", gateway.url())).send();
    let document: Value = get("/api/v1/openapi.json").await.unwrap().json().await.unwrap();
    assert_eq!((&document["openapi"], &document["info"]["title"]), (&"3.1.0".into(), &"capi".into()));

    for problem in Problem::ALL {
        let page = get(&format!("/docs/problems/{}", problem.code())).await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(page.text().await.unwrap().contains(problem.title()), "{}", problem.code());
    }
    let refused = stack.send(stack.client().get(format!("{}/api/v1/me", gateway.url()))).await;
    let kind = refused.body["type"].as_str().unwrap();
    assert_eq!(get(kind).await.unwrap().status(), 200, "the type of a problem opens");
    assert_eq!(get("/docs/problems/nothing").await.unwrap().status(), 404);
    for unknown in
        ["/docs/nothing.js", "/docs/swagger/nothing.js", "/docs/guides/nothing", "/docs/guides/x.md"]
    {
        assert_eq!(get(unknown).await.unwrap().status(), 404, "{unknown}");
    }
    for (old, new) in
        [("/docs/", "/docs"), ("/docs/index.html", "/docs/reference"), ("/docs/guides", "/docs")]
    {
        let page = get(old).await.unwrap();
        assert_eq!((page.status().as_u16(), page.url().path()), (200, new));
    }
}

/// The values of an attribute in a page.
fn values<'p>(html: &'p str, attribute: &str) -> Vec<&'p str> {
    let before = format!(" {attribute}=\"");
    let parts = html.split(before.as_str()).skip(1);
    parts.filter_map(|rest| rest.split_once('"')).map(|(value, _)| value).collect()
}

/// Checks one page; the addresses on it.
fn links_of_page(path: &str, policy: &str, html: &str) -> Vec<String> {
    let inline = if path == "/docs/reference" { "'self' 'unsafe-inline'" } else { "'self'" };
    let expected = format!("default-src 'none'; script-src 'self'; style-src {inline};");
    assert!(policy.starts_with(&expected), "{path}: {policy}");
    for needed in ["<html lang=\"en\">", " · capi</title>", "class=\"skip\"", "href=\"/apps\"", "<h1"] {
        assert!(html.contains(needed), "{path} lacks {needed}");
    }
    assert!(!html.contains(" style=") && !html.contains("<script>"), "{path}");
    for loaded in values(html, "src") {
        assert!(loaded.starts_with('/'), "{path} loads {loaded}");
    }
    let links = [values(html, "href"), values(html, "src")].concat();
    let own = links.into_iter().filter(|link| !link.starts_with("https://"));
    own.map(|link| if link.starts_with('#') { format!("{path}{link}") } else { link.to_owned() }).collect()
}

/// Reads /docs and everything that it links to; the texts by path.
async fn read_docs(stack: &Stack, gateway: &TestApp) -> HashMap<String, String> {
    /// The site has fewer pages.
    const MOST: usize = 200;
    let mut pages = HashMap::new();
    let mut links = vec![("start".to_owned(), "/docs".to_owned())];
    while let Some((from, link)) = links.pop() {
        let path = link.split('#').next().unwrap_or_default().to_owned();
        if pages.contains_key(&path) || path.starts_with("/apps") || path.starts_with("/account") {
            continue;
        }
        assert!(pages.len() < MOST, "{link}");
        let page = stack.client().get(format!("{}{path}", gateway.url())).send().await.unwrap();
        assert_eq!(page.status(), 200, "{from} links to {link}");
        let header =
            |name: &str| page.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let is_page = header("content-type").starts_with("text/html");
        let policy = header("content-security-policy").to_owned();
        let text = page.text().await.unwrap();
        if is_page {
            links.extend(links_of_page(&path, &policy, &text).into_iter().map(|link| (path.clone(), link)));
        }
        pages.insert(path, text);
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_docs_is_whole_and_every_link_leads_somewhere() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let pages = read_docs(&stack, &gateway).await;
    assert!(pages.len() > 40, "{:?}", pages.keys());
    for (path, html) in pages.iter().filter(|(_, text)| text.starts_with("<!doctype html>")) {
        for (page, id) in values(html, "href").into_iter().filter_map(|link| link.split_once('#')) {
            let target = pages.get(if page.is_empty() { path.as_str() } else { page });
            let found = target.is_none_or(|target| target.contains(&format!(" id=\"{id}\"")));
            assert!(found, "{path} links to {page}#{id}, which has no such part");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guides_are_markdown_too_and_llms_txt_lists_them() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let get = |url: String| stack.client().get(url).send();
    let markdown = get(format!("{}/docs/guides/quickstart.md", gateway.url())).await.unwrap();
    assert_eq!(markdown.headers()["content-type"], "text/markdown; charset=utf-8");
    assert!(markdown.text().await.unwrap().starts_with("# Quickstart\n"));
    for address in ["/llms.txt", "/docs/llms.txt"] {
        let list = get(format!("{}{address}", gateway.url())).await.unwrap().text().await.unwrap();
        let links = list.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let links: Vec<_> = links.map(|(link, _)| link.replace("http://capi.test", &gateway.url())).collect();
        assert!(links.len() > 10, "{list}");
        for link in links {
            assert_eq!(get(link.clone()).await.unwrap().status(), 200, "{link}");
        }
    }
}
