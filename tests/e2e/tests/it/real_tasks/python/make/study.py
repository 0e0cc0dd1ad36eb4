"""study.pdf: three pages, the last with the figure that the task asks for."""

from reportlab.pdfgen.canvas import Canvas

document = Canvas("study.pdf")
document.setTitle("A study of bees")
for number, text in enumerate(("Introduction.", "Methods.", "We counted 4711 bees."), start=1):
    document.drawString(72, 720, f"Page {number}. {text}")
    document.showPage()
document.save()
