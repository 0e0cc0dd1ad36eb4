"""Prints what report.docx and report.pptx hold."""

import json

import docx
import pptx

paper = docx.Document("report.docx")
headings = [part.text for part in paper.paragraphs if part.style.name.startswith(("Heading", "Title"))]
rows = [[cell.text for cell in row.cells] for row in paper.tables[0].rows]
slides = pptx.Presentation("report.pptx").slides
titles = [slide.shapes.title.text for slide in slides]
cells = [[cell.text for cell in row.cells] for row in slides[1].shapes[-1].table.rows]
print(json.dumps({"headings": headings, "rows": rows, "titles": titles, "cells": cells}))
