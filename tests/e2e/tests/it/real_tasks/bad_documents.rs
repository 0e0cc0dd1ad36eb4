//! Documents that cannot be read as usual: the model is told what they are, and the run goes on.

use super::kit::Kit;
use super::services::Services;
use super::{program, read};

#[tokio::test(flavor = "multi_thread")]
async fn a_pdf_that_cannot_be_read_as_usual_has_its_named_end() {
    let (services, kit) = (Services::start().await, Kit::new());
    kit.run(program!("make/bad_pdfs")).await;
    let names = ["long.pdf", "locked.pdf", "scanned.pdf", "damaged.pdf"];
    let bytes = names.map(|name| kit.file(name));
    let files: Vec<_> = names.iter().zip(&bytes).map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let calls = names.map(|name| read(&format!("inputs/{name}")));
    let ended = services.run(&files, &calls).await;
    let [long, locked, scanned, damaged] = &ended.told[..] else { panic!("{:?}", ended.told) };
    long.has(&["520", "first 500 pages", "This is page 1."]);
    assert!(long.0.len() < 64 << 10, "{} bytes", long.0.len());
    locked.has_one_of(&["encrypted", "password"]);
    locked.lacks(&["This is page"]);
    scanned.has_one_of(&["scan", "no text"]);
    damaged.has_one_of(&["damaged", "cannot be read", "not a valid"]);
    for told in [locked, scanned, damaged] {
        told.lacks(&["Traceback"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_unpacks_to_half_a_gigabyte_is_refused() {
    let (services, kit) = (Services::start().await, Kit::new());
    let bomb = kit.make(program!("make/bomb"), "bomb.docx").await;
    let ended =
        services.run(&[("bomb.docx", &bomb)], &[read("inputs/bomb.docx"), read("inputs/bomb.docx")]).await;
    for told in &ended.told {
        told.has_one_of(&["unpack", "too large", "decompress", "memory", "bomb"]);
        told.lacks(&["Traceback"]);
    }
    assert!(services.worker.resident_mb() < 400, "it was unpacked elsewhere");
}
