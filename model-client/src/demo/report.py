from xml.sax.saxutils import escape

from pypdf import PdfReader
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfbase import pdfmetrics
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

# The sandbox registers a font that shows Chinese, Japanese and Korean too. Every reader of PDF has Helvetica.
family = "CJK" if "CJK" in pdfmetrics.getRegisteredFontNames() else "Helvetica"
styles = getSampleStyleSheet()
for name in ("Title", "Heading2", "BodyText"):
    styles[name].fontName = family


def part(style, text):
    return Paragraph(text, styles[style])


story = [part("Title", escape(DATA["question"]))]
if DATA["date"]:
    story.append(part("BodyText", DATA["date"]))
for section in DATA["sections"]:
    said = " ".join(f"{escape(sentence)} [{section['number']}]" for sentence in section["sentences"])
    story += [part("Heading2", escape(section["title"])), part("BodyText", said)]
story += [Spacer(1, 12), part("Heading2", "Sources")]
for section in DATA["sections"]:
    url = escape(section["url"], {'"': "&quot;"})
    title = escape(section["title"])
    story.append(part("BodyText", f'[{section["number"]}] {title}, <link href="{url}">{url}</link>'))

SimpleDocTemplate("report.pdf", title=DATA["question"]).build(story)

written = PdfReader("report.pdf").pages
print(written[0].extract_text()[:500])
print("RESULT " + json.dumps({"pages": len(written)}))
