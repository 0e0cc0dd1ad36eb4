use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::json;
use shared::runs::events::SourceUse;
use shared::testing::{FileServer, Given};

use super::Rig;

fn content(kind: &'static str, body: impl Into<Bytes>) -> Given {
    Given::Content(kind, body.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_read_as_its_article_and_is_a_source() {
    let (menu, words) = ("<a href='/m'>Menu</a> ".repeat(100), "word ".repeat(300));
    let page = format!("<title>A page</title><nav>{menu}</nav><main><h1>News</h1><p>{words}</main><footer>F");
    let server = FileServer::with([
        ("/page", content("text/html", page)),
        ("/moved", Given::Redirect("/page".to_owned())),
        ("/shell", content("text/html", "<div id=root></div><script src=a.js></script>")),
    ])
    .start()
    .await;
    let rig = Rig::new();
    let output = rig.call(json!({"url": server.url("/page#top")})).await.unwrap();
    assert!(output.text.contains("# News") && !output.text.contains("Menu Menu"), "{}", output.text);
    assert!(!output.text.contains("/m)"), "no link of the menu: {}", output.text);
    assert!(output.text.contains("Source [1]") && output.text.contains("whole_page"), "{}", output.text);
    let [source] = &output.sources[..] else { panic!("{:?}", output.sources) };
    assert_eq!((source.id, &source.url, source.title.as_str()), (1, &server.url("/page"), "A page"));
    assert_eq!(source.how, SourceUse::Read);
    let whole = rig.call(json!({"url": server.url("/page"), "whole_page": true})).await.unwrap();
    assert!(whole.text.contains("/m)") && whole.sources[0].id == 1);
    let moved = rig.call(json!({"url": server.url("/moved")})).await.unwrap();
    assert!(moved.text.contains(&format!("Redirected to: {}", server.url("/page"))), "{}", moved.text);
    assert_eq!(moved.sources[0].id, 2);
    let gone = rig.call(json!({"url": server.url("/gone")})).await.unwrap();
    assert!(gone.text.contains("Status: 404") && gone.sources.is_empty(), "{}", gone.text);
    assert!(rig.text(&server.url("/shell")).await.contains("need JavaScript"));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_many_types_is_read() {
    let rss = "<?xml version='1.0'?><rss><channel><title>Feed</title><item><title>One</title>\
               <link>https://e.org/1</link></item></channel></rss>";
    let server = FileServer::with([
        ("/a.json", content("application/json", "{\"a\": 1}")),
        ("/a.yaml", content("application/x-yaml", "a: 1")),
        ("/rss", content("text/xml", rss)),
        ("/latin", content("text/plain", &b"Gr\xfc\xdfe aus K\xf6ln, sch\xf6ne Stra\xdfe"[..])),
        ("/a.md", content("application/octet-stream", "# Title")),
        ("/zero", content("application/octet-stream", &b"\0\x01"[..])),
        ("/image", content("image/png", "PNG")),
    ])
    .start()
    .await;
    let rig = Rig::new();
    for (path, part) in [
        ("/a.json", "{\"a\": 1}"),
        ("/a.yaml", "\na: 1"),
        ("/rss", "1. One (https://e.org/1)"),
        ("/latin", "Grüße aus Köln"),
        ("/a.md", "# Title"),
    ] {
        let text = rig.text(&server.url(path)).await;
        assert!(text.contains(part), "{path}: {text}");
    }
    for path in ["/zero", "/image"] {
        let why = rig.refusal(json!({"url": server.url(path)})).await;
        assert!(why.contains("not text") && why.contains("save_to"), "{path}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_read_in_pieces_and_a_large_one_is_cut() {
    let words: Vec<_> = (0..40_000).map(|number| format!("n{number}")).collect();
    let text = words.join(" ");
    let table = format!("a,b\n{}", "1,2\n".repeat(30_000));
    let server = FileServer::with([
        ("/long", content("text/plain", text.clone())),
        ("/table", content("text/csv", table)),
        ("/huge", Given::Repeated("text/html", Bytes::from("<p>word ".repeat(8 << 10)), 800)),
    ])
    .start()
    .await;
    let rig = Rig::new();
    let (mut read, mut offset) = (String::new(), 0);
    for _ in 0..20 {
        let shown = rig.call(json!({"url": server.url("/long"), "offset": offset})).await.unwrap().text;
        let (head, shown) = shown.split_once("\n\n").unwrap();
        let (piece, note) = shown.rsplit_once("\n[").unwrap();
        assert!(head.contains("Source [1]"));
        read.push_str(piece);
        match note.split_once("offset ") {
            Some((_, next)) => offset = next.trim_end_matches(']').parse().unwrap(),
            None => break,
        }
    }
    assert_eq!(read, text);
    let head = rig.text(&server.url("/table")).await;
    assert!(head.contains("30000 row(s)") && head.len() < 5000, "{head:.300}");
    let text = rig.call(json!({"url": server.url("/table"), "offset": 0})).await.unwrap().text;
    assert!(text.contains("a,b\n1,2\n1,2\n") && text.contains("read on with offset"));
    // 50 MB.
    let huge = rig.text(&server.url("/huge")).await;
    assert!(huge.len() < 50_000 && huge.contains("only its first 4 MiB were read"), "{}", huge.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_read_in_the_sandbox() {
    // The smallest PDF that libraries agree about.
    let stream = "BT /F1 24 Tf 72 700 Td (Invoice 4711) Tj ET";
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{stream}\nendstream", stream.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let server = FileServer::with([
        ("/a.pdf", content("application/pdf", pdf(&objects))),
        ("/get", content("application/octet-stream", pdf(&objects))),
        ("/bad.pdf", content("application/pdf", "<html>Please log in</html>")),
        ("/large.pdf", Given::Repeated("application/pdf", vec![b'%'; 1 << 20].into(), 60)),
    ])
    .start()
    .await;
    let rig = Rig::with_sandbox().await;
    for path in ["/a.pdf", "/get"] {
        let output = rig.call(json!({"url": server.url(path)})).await.unwrap();
        assert!(output.text.contains("Content: PDF, 1 page(s)"), "{}", output.text);
        assert!(output.text.contains("Invoice 4711"), "{}", output.text);
        assert_eq!(output.sources.len(), 1);
    }
    let bad = rig.refusal(json!({"url": server.url("/bad.pdf")})).await;
    assert!(bad.contains("damaged"), "{bad}");
    let large = rig.refusal(json!({"url": server.url("/large.pdf")})).await;
    assert!(large.contains("at most 52428800 are read") && large.contains("save_to"), "{large}");
    let off = Rig::new().refusal(json!({"url": server.url("/a.pdf")})).await;
    assert!(off.contains("sandbox is turned off"), "{off}");
}

fn pdf(objects: &[String]) -> Vec<u8> {
    let (mut file, mut places) = ("%PDF-1.4\n".to_owned(), Vec::new());
    for (number, object) in objects.iter().enumerate() {
        places.push(file.len());
        let _ = write!(file, "{} 0 obj\n{object}\nendobj\n", number + 1);
    }
    let (begin, count) = (file.len(), objects.len() + 1);
    let _ = write!(file, "xref\n0 {count}\n0000000000 65535 f \n");
    for place in places {
        let _ = writeln!(file, "{place:010} 00000 n ");
    }
    let _ = write!(file, "trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{begin}\n%%EOF\n");
    file.into_bytes()
}
