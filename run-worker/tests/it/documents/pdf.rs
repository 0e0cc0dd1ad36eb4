use super::Rig;

const PAGES: &str = "
from reportlab.pdfgen import canvas
def make(name, pages, text=True):
    c = canvas.Canvas(name)
    c.setTitle('Our invoices')
    for n in range(pages):
        if text: c.drawString(50, 700, f'Invoice {n + 1}: 12.50 EUR')
        else: c.rect(50, 50, 200, 200, fill=1)
        c.showPage()
    c.save()
";

#[tokio::test(flavor = "multi_thread")]
async fn a_pdf_is_read_page_by_page() {
    let rig = Rig::open().await;
    rig.make(&format!("{PAGES}make('small.pdf', 3)\nmake('large.pdf', 620)"));
    let small = rig.text("small.pdf").await;
    assert!(small.about.starts_with("PDF, 3 page(s)") && small.about.contains("Our invoices"), "{small:?}");
    for number in 1..=3 {
        assert!(small.text.contains(&format!("[page {number}]")), "{small:?}");
        assert!(small.text.contains(&format!("Invoice {number}: 12.50 EUR")), "{small:?}");
    }
    let large = rig.text("large.pdf").await;
    assert!(
        large.about.contains("620 page(s)") && large.about.contains("first 500 pages"),
        "{}",
        large.about
    );
    assert!(large.text.contains("Invoice 500:") && !large.text.contains("Invoice 501:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pdfs_without_text_are_told_apart() {
    let rig = Rig::open().await;
    rig.make(&format!(
        "{PAGES}
from pypdf import PdfWriter
make('open.pdf', 2)
make('scan.pdf', 4, text=False)
for name, password in [('locked.pdf', 'secret'), ('unlocked.pdf', '')]:
    writer = PdfWriter(clone_from='open.pdf')
    writer.encrypt(password, owner_password='owner', algorithm='RC4-128')
    writer.write(name)
writer = PdfWriter()
writer.append('open.pdf'); writer.append('scan.pdf'); writer.write('mixed.pdf')
whole = open('open.pdf', 'rb').read()
open('cut.pdf', 'wb').write(whole[:600])
open('no.pdf', 'wb').write(b'not a PDF at all')
"
    ));
    let scan = rig.refusal("scan.pdf").await;
    assert!(scan.contains("4 page(s) are pictures"), "{scan}");
    let locked = rig.refusal("locked.pdf").await;
    assert!(locked.contains("encrypted") && locked.contains("password"), "{locked}");
    assert!(rig.text("unlocked.pdf").await.text.contains("Invoice 2"));
    let mixed = rig.text("mixed.pdf").await;
    assert!(mixed.about.contains("no text layer on page(s) 3, 4, 5, 6"), "{}", mixed.about);
    for damaged in ["cut.pdf", "no.pdf"] {
        let why = rig.refusal(damaged).await;
        assert!(why.contains("damaged"), "{damaged}: {why}");
    }
}
