from xml.sax.saxutils import escape

from matplotlib import font_manager
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer


# Fonts that show more than Latin letters. Every reader of PDF has Helvetica.
FAMILIES = ["Noto Sans CJK JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "DejaVu Sans"]


def font():
    for family in FAMILIES:
        try:
            path = font_manager.findfont(family, fallback_to_default=False)
            pdfmetrics.registerFont(TTFont("Report", path))
            return "Report"
        except (ValueError, TTFError):
            continue
    return "Helvetica"


styles, family = getSampleStyleSheet(), font()
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

from pypdf import PdfReader

written = PdfReader("report.pdf").pages
print(written[0].extract_text()[:500])
print("RESULT " + json.dumps({"pages": len(written)}))
