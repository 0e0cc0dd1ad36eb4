"""million.xlsx: a sheet with a million rows. Written as XML, which is faster than a library."""

import zipfile

import openpyxl

ROWS = 1_000_000
SHEET = "xl/worksheets/sheet1.xml"

openpyxl.Workbook().save("empty.xlsx")
rows = "".join(f'<row r="{row}"><c r="A{row}"><v>{row}</v></c></row>' for row in range(1, ROWS + 1))
sheet = (
    '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    f'<dimension ref="A1:A{ROWS}"/><sheetData>{rows}</sheetData></worksheet>'
)
with zipfile.ZipFile("empty.xlsx") as empty, zipfile.ZipFile(
    "million.xlsx", "w", zipfile.ZIP_DEFLATED, compresslevel=1
) as million:
    for part in empty.namelist():
        million.writestr(part, sheet if part == SHEET else empty.read(part))
