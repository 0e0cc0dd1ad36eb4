//! Documents that are made to take all memory or all time.

use super::Rig;
use super::office::with_parts;

#[tokio::test(flavor = "multi_thread")]
async fn bombs_end_with_a_reason() {
    let rig = Rig::open().await;
    rig.make(&with_parts(
        "docx.Document().save('plain.docx')
openpyxl.Workbook().save('plain.xlsx')
W = b'<w:document xmlns:w=\"w\"><w:body>'
paragraph = b'<w:p><w:r><w:t>%s</w:t></w:r></w:p>'
change('plain.docx', 'bomb.docx', {'word/document.xml': W + paragraph % (b'a' * (200 << 20))})
long = W + paragraph % (b'a' * (20 << 20)) + b'</w:body></w:document>'
change('plain.docx', 'long.docx', {'word/document.xml': long})
change('plain.docx', 'nested.docx', {'word/document.xml': W + b'<w:p>' * 100_000})
change('plain.docx', 'entity.docx', {'word/document.xml': b'<!DOCTYPE x [<!ENTITY a \"a\">]>' + W})
styles = b'<styleSheet>' + b' ' * (200 << 20) + b'</styleSheet>'
change('plain.xlsx', 'strings.xlsx', {'xl/styles.xml': styles})
row = b'<row r=\"1\">' + b'<c><v>1</v></c>' * (12 << 20) + b'</row>'
change('plain.xlsx', 'row.xlsx', {'xl/worksheets/sheet1.xml': SHEET % row})
laugh = b'<!DOCTYPE x [<!ENTITY a0 \"aaaaaaaaaa\">' + b''.join(
    b'<!ENTITY a%d \"%s\">' % (n, b'&a%d;' % (n - 1) * 10) for n in range(1, 12)) + b']>'
change('plain.xlsx', 'laugh.xlsx', {'xl/worksheets/sheet1.xml':
    laugh + SHEET % b'<row r=\"1\"><c t=\"str\"><v>&a11;</v></c></row>'})",
    ));
    for (name, word) in [
        ("bomb.docx", "ZIP bomb"),
        ("strings.xlsx", "ZIP bomb"),
        ("nested.docx", "nests"),
        ("entity.docx", "document type definition"),
        ("laugh.xlsx", "damaged"),
    ] {
        let why = rig.refusal(name).await;
        assert!(why.contains(word), "{name}: {why}");
    }
    let row = rig.refusal("row.xlsx").await;
    assert!(row.contains("too much memory") || row.contains("too long"), "{row}");
    let long = rig.text("long.docx").await;
    assert_eq!(long.text.len(), 1 << 20);
    assert!(long.about.contains("first 1048576 bytes"), "{}", long.about);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_formats_and_links_are_refused() {
    let rig = Rig::open().await;
    let compound = [&b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"[..], &[0; 1000]].concat();
    let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(rig.path("old.docx"), &compound).unwrap();
    std::fs::write(rig.path("locked.xlsx"), [&compound[..], &name, &[0; 100]].concat()).unwrap();
    std::fs::write(rig.path("text.xlsx"), "a,b\n").unwrap();
    assert!(rig.refusal("old.docx").await.contains("older"));
    assert!(rig.refusal("locked.xlsx").await.contains("password"));
    assert!(rig.refusal("text.xlsx").await.contains("damaged"));
    rig.make(&with_parts(
        "docx.Document().save('plain.docx')
import shutil; shutil.copy('plain.docx', 'as.pptx'); shutil.copy('plain.docx', 'as.xlsx')",
    ));
    for name in ["as.pptx", "as.xlsx"] {
        assert!(rig.refusal(name).await.contains("damaged"), "{name}");
    }
}
