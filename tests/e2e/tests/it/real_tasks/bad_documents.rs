//! Documents that cannot be read as usual: the result says what they are, and the run goes on.

use super::services::Services;
use super::{program, read};
use crate::kit::Kit;

#[tokio::test(flavor = "multi_thread")]
async fn a_pdf_that_cannot_be_read_as_usual_has_its_named_end() {
    let (services, kit) = (Services::start().await, Kit::new());
    kit.run(program!("make/bad_pdfs")).await;
    let bytes = ["long.pdf", "locked.pdf", "scanned.pdf", "damaged.pdf"].map(|name| kit.file(name));
    // The names do not say what is expected.
    let names = ["a.pdf", "b.pdf", "c.pdf", "d.pdf"];
    let files: Vec<_> = names.iter().zip(&bytes).map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let calls = names.map(|name| read(&format!("inputs/{name}")));
    let ended = services.run(&files, &calls).await;
    let [long, locked, scanned, damaged] = &ended.told[..] else { panic!("{:?}", ended.told) };
    long.has(&["520", "first 500 pages", "This is page 1."]);
    assert!(long.0.len() < 64 << 10, "{} bytes", long.0.len());
    locked.has(&["is encrypted", "needs a password"]);
    locked.lacks(&["This is page"]);
    scanned.has(&["no text layer"]);
    damaged.has(&["cannot be read as PDF"]);
    for told in [locked, scanned, damaged] {
        told.lacks(&["Traceback"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_unpacks_to_half_a_gigabyte_is_refused() {
    let (services, kit) = (Services::start().await, Kit::new());
    let bomb = kit.make(program!("make/bomb"), "bomb.docx").await;
    let ended = services.run(&[("a.docx", &bomb)], &[read("inputs/a.docx"), read("inputs/a.docx")]).await;
    for told in &ended.told {
        told.has(&["ZIP bomb"]);
        told.lacks(&["Traceback"]);
    }
    assert!(services.worker.resident_mb() < 400, "it was unpacked elsewhere");
}
