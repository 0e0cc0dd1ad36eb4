"""invoice.pdf: one page with lines and a total, drawn at fixed places."""

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

LINES = [("Paper, 500 sheets", 4, "6.50", "26.00"), ("Ink, black", 2, "19.90", "39.80")]

page = Canvas("invoice.pdf", pagesize=A4)
page.setTitle("Invoice 2024-017")
page.drawString(50, 780, "Blank & Co.")
page.drawString(50, 760, "Invoice 2024-017")
page.drawString(50, 740, "Date: 2024-03-05")
for row, (name, count, price, amount) in enumerate(LINES):
    for column, text in zip((50, 300, 360, 430), (name, str(count), price, amount)):
        page.drawString(column, 700 - 20 * row, text)
page.drawString(300, 640, "Net 65.80")
page.drawString(300, 620, "VAT 19 % 12.50")
page.drawString(300, 600, "Total EUR 78.30")
page.save()
