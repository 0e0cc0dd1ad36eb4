import docx
import pptx
from pptx.util import Inches

REGIONS = [("North", 150.75), ("South", 100.0)]
TITLE = "Sales 売上 2024"

paper = docx.Document()
paper.add_heading(TITLE, level=0)
paper.add_heading("Regions", level=1)
paper.add_paragraph("The north sold most – “by far”.")
table = paper.add_table(rows=1, cols=2)
table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Region", "Amount"
for region, amount in REGIONS:
    cells = table.add_row().cells
    cells[0].text, cells[1].text = region, f"{amount:.2f}"
paper.save("report.docx")

slides = pptx.Presentation()
first = slides.slides.add_slide(slides.slide_layouts[0])
first.shapes.title.text = TITLE
second = slides.slides.add_slide(slides.slide_layouts[5])
second.shapes.title.text = "Regions"
shape = second.shapes.add_table(len(REGIONS), 2, Inches(1), Inches(2), Inches(6), Inches(1))
for row, (region, amount) in enumerate(REGIONS):
    shape.table.cell(row, 0).text, shape.table.cell(row, 1).text = region, f"{amount:.2f}"
slides.save("report.pptx")
