//! The kit works inside the sandbox: fonts, documents, programs, and clear words where there is no network.

use run_worker::sandbox::{EndReason, Interpreter, Job};
use run_worker::workspace::Quota;

use super::{Lab, QUOTA};

/// Runs a script and returns what it prints. It must end well.
async fn printed(interpreter: Interpreter, script: &str) -> String {
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    let quota = Quota { bytes: 200 << 20, ..QUOTA };
    let execution = lab.run(Job { quota, ..Lab::job(&workspace, interpreter, script) }).await;
    let shown = execution.output.shown("…");
    assert_eq!(execution.end, EndReason::Exited(0), "{shown}");
    workspace.close().await;
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_have_no_boxes_whatever_font_a_script_names() {
    let script = r#"
import warnings
warnings.simplefilter("error")
import matplotlib.pyplot as pyplot, seaborn
def draw(name):
    pyplot.figure(); pyplot.title("Zürich 売上 中文 한국어 📈"); pyplot.bar(["東京", "大阪"], [3, 1])
    pyplot.savefig(name + ".png"); pyplot.savefig(name + ".svg"); pyplot.savefig(name + ".pdf")
draw("plain")
seaborn.set_theme(); draw("style")
pyplot.rcParams["font.family"] = "sans-serif"; pyplot.rcParams["font.sans-serif"] = ["Liberation Sans"]
draw("named")
from PIL import Image
print(len(Image.open("named.png").convert("L").getcolors()) > 10)
"#;
    assert_eq!(printed(Interpreter::Python, script).await, "True\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_written_and_read() {
    let script = r#"
import io, subprocess
from reportlab.pdfgen.canvas import Canvas
page = Canvas("a.pdf"); page.setFont("CJK", 20); page.drawString(50, 700, "請求書 Invoice"); page.save()
from pypdf import PdfReader
print(PdfReader("a.pdf").pages[0].extract_text().strip())
print(subprocess.run(["pdftotext", "a.pdf", "-"], capture_output=True, text=True).stdout.split())
import docx, pptx, openpyxl, pandas, lxml.html, jinja2
document = docx.Document(); document.add_heading("Bericht 報告"); document.save("a.docx")
print(docx.Document("a.docx").paragraphs[0].text)
slides = pptx.Presentation(); slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "表紙"
slides.save("a.pptx")
print(pptx.Presentation("a.pptx").slides[0].shapes.title.text)
frame = pandas.DataFrame({"n": [1, 2]}); frame.to_excel("a.xlsx", index=False)
print(pandas.read_excel("a.xlsx").n.sum(), "|" in frame.to_markdown())
print(lxml.html.fromstring("<p>text</p>").text, jinja2.Template("{{ n }}").render(n=1))
"#;
    let expected = "請求書 Invoice\n['請求書', 'Invoice']\nBericht 報告\n表紙\n3 True\ntext 1\n";
    assert_eq!(printed(Interpreter::Python, script).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn git_has_an_identity_and_pip_says_that_there_is_no_network() {
    let script = "mkdir code; cd code; git init -q; echo x > a; git add a; git commit -qm first
git log --format='%an %ae'; git branch --show-current; git -C ../inputs status > /dev/null 2>&1; echo x | rg x
pip install requests > out 2>&1 && echo REACHED; grep -o 'no network' out
python3 -m pip install requests 2>&1 | grep -o 'no network'; pip show numpy | head -n 1
cp ../inputs/given mine; echo more >> mine; true";
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    std::fs::write(workspace.mounts().inputs.join("given"), "given\n").unwrap();
    let execution = lab.run(Lab::job(&workspace, Interpreter::Bash, script)).await;
    let expected = "Agent agent@sandbox.invalid\nmain\nx\nno network\nno network\nName: numpy\n";
    assert_eq!((execution.end, execution.output.shown("")), (EndReason::Exited(0), expected.to_owned()));
    assert_eq!(
        std::fs::read_to_string(workspace.mounts().workspace.join("code/mine")).unwrap(),
        "given\nmore\n"
    );
}

/// They reserve far more address space than they use. Where the machine has them, they start.
#[tokio::test(flavor = "multi_thread")]
async fn node_and_java_start_where_the_machine_has_them() {
    let script = r#"
if type -P node > /dev/null; then
    node -e 'fetch("http://127.0.0.1:47002").catch(error => console.log("node", error.cause.code))'
    npm install left-pad > out 2>&1 && echo REACHED; grep -o 'no network' out
else printf 'node ECONNREFUSED\nno network\n'; fi
if type -P java > /dev/null; then java -version 2>&1 | grep -c 'Runtime Environment'; else echo 1; fi
"#;
    assert_eq!(printed(Interpreter::Bash, script).await, "node ECONNREFUSED\nno network\n1\n");
}
