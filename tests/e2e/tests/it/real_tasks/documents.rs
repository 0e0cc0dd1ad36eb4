//! Documents are read, and written.

use e2e::Stack;
use serde_json::{Value, json};
use shared::testing::FileServer;

use super::services::{Services, script};
use super::{program, python, read, save};
use crate::kit::Kit;

const OFFICE: &str = "application/vnd.openxmlformats-officedocument";

const INVOICE_APP: &str = r#"
name = "Invoice"
prompt = "{{ text }}"
tools = ["read_file", "python", "save_artifact"]
[[inputs]]
name = "text"
type = "text"
[output.schema]
type = "object"
required = ["number", "date", "lines", "total"]
additionalProperties = false
properties.number.type = "string"
properties.date.type = "string"
properties.lines = { type = "array", items = { type = "object" } }
properties.total.type = "number"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_becomes_checked_json() {
    let (services, kit) = (Services::start().await, Kit::new());
    let invoice = kit.make(program!("make/invoice"), "invoice.pdf").await;
    let lines = json!([
        {"name": "Paper, 500 sheets", "count": 4, "amount": 26.0},
        {"name": "Ink, black", "count": 2, "amount": 39.8},
    ]);
    let data = json!({"number": "2024-017", "date": "2024-03-05", "lines": lines, "total": 78.3});
    let calls = [read("inputs/invoice.pdf"), python(program!("call/invoice")), save("invoice.json")];
    let app = services.stack.import(INVOICE_APP).await;
    let script = script(&calls, &data.to_string());
    let ended = services.run_of(&app, &[("invoice.pdf", &invoice)], &script).await;
    assert_eq!(ended.run["status"], "completed", "{}", ended.run);
    assert_eq!(ended.run["result"]["data"], data);
    ended.told[0].has(&["PDF", "Invoice 2024-017", "Paper, 500 sheets", "Total EUR 78.30"]);
    ended.told[1].has(&["exit code 0", "2024-017"]);
    let (kind, bytes) = services.artifact(&ended.run, "invoice.json").await;
    assert!(kind.starts_with("application/json"), "{kind}");
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_written_as_a_paper_and_as_slides() {
    let (services, kit) = (Services::start().await, Kit::new());
    let calls = [
        python(program!("call/report")),
        read("report.docx"),
        read("report.pptx"),
        save("report.docx"),
        // A wrong guess of the model, which is kept: the given type wins.
        ("save_artifact", json!({"path": "report.pptx", "media_type": "application/octet-stream"})),
        save("report.pptx"),
    ];
    let ended = services.run(&[], &calls).await;
    ended.told[0].has(&["exit code 0"]);
    ended.told[1].has(&["Sales 売上 2024", "– “by far”", "North", "150.75"]);
    ended.told[2].has(&["Sales 売上 2024", "Regions", "South", "100.00"]);
    let (kind, paper) = services.artifact(&ended.run, "report.docx").await;
    assert_eq!(kind, format!("{OFFICE}.wordprocessingml.document"));
    let types: Vec<_> =
        ended.run["artifacts"].as_array().unwrap().iter().map(|artifact| artifact["type"].clone()).collect();
    let of_slides = format!("{OFFICE}.presentationml.presentation");
    assert_eq!(types, [kind, "application/octet-stream".to_owned(), of_slides]);
    let (_, slides) = services.artifact(&ended.run, "report.pptx").await;
    let files: [(&str, &[u8]); 2] = [("report.docx", &paper), ("report.pptx", &slides)];
    let opened = kit.open(program!("open/report"), &files).await;
    let rows = json!([["Region", "Amount"], ["North", "150.75"], ["South", "100.00"]]);
    let table = json!([["North", "150.75"], ["South", "100.00"]]);
    let title = "Sales 売上 2024";
    let expected =
        json!({"headings": [title, "Regions"], "rows": rows, "titles": [title, "Regions"], "cells": table});
    assert_eq!(opened, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pdf_behind_a_web_page_is_found_and_kept() {
    let kit = Kit::new();
    let study = kit.make(program!("make/study"), "study.pdf").await;
    let page = "<html><head><title>Bees</title></head><body><nav>Home</nav><main><h1>Bees</h1><p>We count \
                bees. Read <a href='/files/study.pdf'>the study</a>.</p></main></body></html>";
    let mut pages = FileServer::default();
    pages.add("/bees", "text/html", page);
    pages.add("/files/study.pdf", "application/pdf", study.clone());
    let pages = pages.start().await;
    let services = Services::start_in(Stack::unlimited().await).await;
    let pdf = pages.url("/files/study.pdf");
    let calls = [
        ("fetch_url", json!({"url": pages.url("/bees")})),
        ("fetch_url", json!({"url": pdf})),
        ("fetch_url", json!({"url": pdf, "save_to": "papers/bees.pdf"})),
        read("papers/bees.pdf"),
        save("papers/bees.pdf"),
    ];
    let ended = services.run(&[], &calls).await;
    ended.told[0].has(&["We count bees", "/files/study.pdf"]);
    ended.told[1].has(&["Page 3. We counted 4711 bees."]);
    ended.told[2].has(&["Saved", &study.len().to_string(), "application/pdf"]);
    ended.told[3].has(&["Page 3. We counted 4711 bees."]);
    ended.told[3].has_one_of(&["3 pages", "3 page(s)"]);
    let (kind, bytes) = services.artifact(&ended.run, "bees.pdf").await;
    assert_eq!(kind, "application/pdf");
    assert!(bytes == study, "the file is kept as it was sent");
    let read = ended.run["result"]["sources"].as_array().unwrap();
    let urls: Vec<_> = read.iter().map(|source| source["url"].as_str().unwrap().to_owned()).collect();
    assert_eq!(urls, [pages.url("/bees"), pdf], "{read:?}");
    assert!(read.iter().all(|source| source["how"] == "read"), "{read:?}");
}
