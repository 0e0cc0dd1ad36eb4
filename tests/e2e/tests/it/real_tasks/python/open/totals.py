"""Prints the sheets of totals.xlsx, and whether the last row is bold."""

import json

import openpyxl

book = openpyxl.load_workbook("totals.xlsx")
sheet = book["Totals"]
rows = [list(row) for row in sheet.iter_rows(values_only=True)]
print(json.dumps({"sheets": book.sheetnames, "rows": rows, "bold": sheet.cell(sheet.max_row, 1).font.bold}))
