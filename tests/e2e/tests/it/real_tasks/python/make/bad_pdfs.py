"""long.pdf, locked.pdf, scanned.pdf and damaged.pdf: PDFs that cannot be read as usual."""

import io

import pypdf
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas


def pages(name, count):
    document = Canvas(name)
    for number in range(1, count + 1):
        document.drawString(72, 720, f"This is page {number}.")
        document.showPage()
    document.save()


pages("long.pdf", 520)
pages("locked.pdf", 1)
writer = pypdf.PdfWriter(clone_from="locked.pdf")
writer.encrypt("secret", algorithm="RC4-128")
writer.write("locked.pdf")

picture = io.BytesIO()
Image.effect_noise((400, 500), 60).save(picture, "PNG")
scan = Canvas("scanned.pdf")
for _ in range(2):
    scan.drawImage(ImageReader(picture), 0, 0, 600, 800)
    scan.showPage()
scan.save()

with open("long.pdf", "rb") as whole, open("damaged.pdf", "wb") as damaged:
    damaged.write(whole.read(2000))
