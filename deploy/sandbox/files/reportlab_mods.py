"""Registers the font "CJK" for PDFs. reportlab imports this module when it is imported itself."""

import sys
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

FONT = Path(sys.prefix) / "fonts/cjk.ttf"

if FONT.exists():
    pdfmetrics.registerFont(TTFont("CJK", FONT))
    # The font has one weight: bold and italic text stays readable.
    pdfmetrics.registerFontFamily("CJK", normal="CJK", bold="CJK", italic="CJK", boldItalic="CJK")
