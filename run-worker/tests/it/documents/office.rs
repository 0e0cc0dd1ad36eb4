use super::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn sheets_are_shown_with_their_first_rows() {
    let rig = Rig::open().await;
    rig.make(
        "import datetime, openpyxl
book = openpyxl.Workbook()
sheet = book.active
sheet.title = 'Sales'
sheet.append(['Name', 'Amount', 'Date'])
for n in range(3): sheet.append([f'Größe {n}', n * 1.5, datetime.datetime(2026, 1, n + 1)])
sheet['B5'] = '=SUM(B2:B4)'
book.create_sheet('Notes').append(['x' * 500])
book['Notes'].sheet_state = 'hidden'
book.save('small.xlsx')
book = openpyxl.Workbook(write_only=True)
sheet = book.create_sheet('Wide')
sheet.append([f'c{n}' for n in range(10_000)])
book.save('wide.xlsx')",
    );
    let small = rig.text("small.xlsx").await;
    assert_eq!(small.about, "XLSX, 2 sheet(s)");
    for part in
        ["[sheet 'Sales': 5 row(s), 3 column(s)]", "Name | Amount | Date", "Größe 1 | 1.5 | 2026-01-02"]
    {
        assert!(small.text.contains(part), "{part}: {}", small.text);
    }
    assert!(small.text.contains("=SUM(B2:B4)"), "no program computed it: {}", small.text);
    assert!(small.text.contains("hidden]\n") && small.text.contains("x…"), "{}", small.text);
    let wide = rig.text("wide.xlsx").await;
    assert!(wide.text.contains("10000 column(s)") && wide.text.contains("first 50 columns"), "{}", wide.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_are_counted_and_not_shown() {
    let rig = Rig::open().await;
    // Written by hand: the library needs a minute.
    rig.make(&with_parts(
        "small = openpyxl.Workbook(); small.active.title = 'Big'; small.save('small.xlsx')
row = b'<row><c><v>%d</v></c><c t=\"inlineStr\"><is><t>name</t></is></c></row>'
row = b''.join(row % n for n in range(1000))
change('small.xlsx', 'million.xlsx', {'xl/worksheets/sheet1.xml': SHEET % (row * 1000)})",
    ));
    let million = rig.text("million.xlsx").await;
    // The reader may run out of time for the count on a busy machine, and says so.
    let counted = ["[sheet 'Big': 1000000 row(s)", "[sheet 'Big': more than "];
    assert!(counted.iter().any(|said| million.text.contains(said)), "{:.200}", million.text);
    assert!(million.text.contains("99 | name\n[only the first 100 rows are shown"), "{}", million.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn macros_and_links_to_other_files_are_ignored_and_told() {
    let rig = Rig::open().await;
    rig.make(&with_parts(
        "book = openpyxl.Workbook(); book.active.append(['kept']); book.save('plain.xlsx')
parts = {'xl/vbaProject.bin': b'x', 'xl/externalLinks/externalLink1.xml': b'<x/>'}
change('plain.xlsx', 'macro.xlsx', parts)",
    ));
    let read = rig.text("macro.xlsx").await;
    assert!(
        read.about.contains("macros were ignored") && read.about.contains("not followed"),
        "{}",
        read.about
    );
    assert!(read.text.contains("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_and_slides_are_read_in_their_order() {
    let rig = Rig::open().await;
    rig.make(
        "import docx, pptx
text = docx.Document()
text.add_heading('Report', 1)
text.add_paragraph('Hello 日本.')
text.add_paragraph('item', style='List Bullet')
table = text.add_table(2, 2)
for r in range(2):
    for c in range(2): table.cell(r, c).text = f'{r}{c}'
text.add_paragraph('End.')
text.save('a.docx')
docx.Document().save('empty.docx')
slides = pptx.Presentation()
for title in ['First', 'Second']:
    slide = slides.slides.add_slide(slides.slide_layouts[1])
    slide.shapes.title.text = title
    slide.placeholders[1].text = 'Point one\\nPoint two'
slide.notes_slide.notes_text_frame.text = 'Say hello.'
slides.save('a.pptx')",
    );
    let text = rig.text("a.docx").await;
    assert_eq!(text.text, "# Report\n\nHello 日本.\n- item\n00 | 01\n10 | 11\n\nEnd.\n");
    assert!(rig.refusal("empty.docx").await.contains("holds no text"));
    let slides = rig.text("a.pptx").await;
    assert_eq!(slides.about, "PPTX, 2 slide(s)");
    let points = "Point one\nPoint two\n";
    let expected = format!("[slide 1]\nFirst\n{points}[slide 2]\nSecond\n{points}[notes]\nSay hello.\n");
    assert_eq!(slides.text, expected);
}

/// A script that can change the parts of a document.
pub(super) fn with_parts(script: &str) -> String {
    format!(
        "import zipfile, openpyxl, docx
NS = b'xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"'
SHEET = b'<worksheet ' + NS + b'><sheetData>%s</sheetData></worksheet>'
def change(source, target, parts):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in parts: new.writestr(name, old.read(name))
        for name, content in parts.items(): new.writestr(name, content)
{script}"
    )
}
