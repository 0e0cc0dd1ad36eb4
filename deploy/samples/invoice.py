"""Writes invoice.pdf, the sample input of the app Invoice. The same invoice gives the same bytes.

It needs reportlab: run it with the Python of the sandbox (CAPI_SANDBOX_PYTHON), in this folder.
"""

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

ROWS = [
    ("Harbour cable, 3 x 2.5 mm2, metre", "120", "2.35", "282.00"),
    ("Charging socket, type 2", "4", "189.00", "756.00"),
    ("Assembly, hour", "6.5", "64.00", "416.00"),
]
SUMS = [("Net", "1,454.00"), ("VAT 25 %", "363.50"), ("Total EUR", "1,817.50")]
# The right edges of the columns with numbers.
QUANTITY, PRICE, AMOUNT = 350, 430, 520

page = Canvas("invoice.pdf", pagesize=A4, invariant=True)
page.setTitle("Invoice 2026-0117")
page.setFont("Helvetica-Bold", 16)
page.drawString(60, 770, "Norrvik Electric Works")
page.setFont("Helvetica", 10)
page.drawString(60, 750, "12 South Quay, Norrvik")
page.drawString(60, 710, "Invoice number: 2026-0117")
page.drawString(60, 694, "Date: 2026-11-03")
page.drawString(60, 678, "Currency: EUR")
page.setFont("Helvetica-Bold", 10)
page.drawString(60, 640, "Description")
for edge, head in ((QUANTITY, "Quantity"), (PRICE, "Price"), (AMOUNT, "Amount")):
    page.drawRightString(edge, 640, head)
page.setFont("Helvetica", 10)
height = 620
for name, *numbers in ROWS:
    page.drawString(60, height, name)
    for edge, number in zip((QUANTITY, PRICE, AMOUNT), numbers):
        page.drawRightString(edge, height, number)
    height -= 18
page.line(60, height + 6, AMOUNT, height + 6)
for name, number in SUMS:
    height -= 18
    page.drawString(60, height, name)
    page.drawRightString(AMOUNT, height, number)
page.setFont("Helvetica-Oblique", 8)
page.drawString(60, 60, "Invented: a sample of capi.")
page.save()
