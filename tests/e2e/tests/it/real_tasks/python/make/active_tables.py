"""macros.xlsm and links.xlsx: workbooks that hold a program, and a link to another workbook."""

import zipfile

import openpyxl

OFFICE = "http://schemas.openxmlformats.org"
RELATIONS = f"{OFFICE}/officeDocument/2006/relationships"
SHEETS = "application/vnd.openxmlformats-officedocument.spreadsheetml"

LINK = f"""<?xml version="1.0"?>
<externalLink xmlns="{OFFICE}/spreadsheetml/2006/main" xmlns:r="{RELATIONS}">
<externalBook r:id="rId1"><sheetNames><sheetName val="Prices"/></sheetNames></externalBook></externalLink>"""
LINKED = f"""<?xml version="1.0"?>
<Relationships xmlns="{OFFICE}/package/2006/relationships"><Relationship Id="rId1"
Type="{RELATIONS}/externalLinkPath" Target="http://127.0.0.1:9/prices.xlsx" TargetMode="External"/>
</Relationships>"""


def with_changes(name, changes, more):
    """Copies small.xlsx. In each part of `changes`, the first text is replaced by the second."""
    with zipfile.ZipFile("small.xlsx") as old, zipfile.ZipFile(name, "w") as new:
        for part in old.namelist():
            text = old.read(part)
            for before, after in changes.get(part, []):
                assert before.encode() in text, (part, before)
                text = text.replace(before.encode(), after.encode())
            new.writestr(part, text)
        for part, text in more.items():
            new.writestr(part, text)


book = openpyxl.Workbook()
for row in (["Item", "Price"], ["Pen", 2]):
    book.active.append(row)
book.save("small.xlsx")

MACROS = "application/vnd.ms-office.vbaProject"
ENABLED = "application/vnd.ms-excel.sheet.macroEnabled.main+xml"
of_macros = f'<Override PartName="/xl/vbaProject.bin" ContentType="{MACROS}"/></Types>'
types = [(f"{SHEETS}.sheet.main+xml", ENABLED), ("</Types>", of_macros)]
program = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
with_changes("macros.xlsm", {"[Content_Types].xml": types}, {"xl/vbaProject.bin": program})

part = "externalLinks/externalLink1.xml"
of_type = f'<Override PartName="/xl/{part}" ContentType="{SHEETS}.externalLink+xml"/></Types>'
relation = f'<Relationship Id="rId99" Type="{RELATIONS}/externalLink" Target="{part}"/></Relationships>'
reference = f'<externalReference xmlns:r="{RELATIONS}" r:id="rId99"/>'
references = f"</sheets><externalReferences>{reference}</externalReferences>"
changes = {
    "[Content_Types].xml": [("</Types>", of_type)],
    "xl/_rels/workbook.xml.rels": [("</Relationships>", relation)],
    "xl/workbook.xml": [("</sheets>", references)],
}
more = {f"xl/{part}": LINK, "xl/externalLinks/_rels/externalLink1.xml.rels": LINKED}
with_changes("links.xlsx", changes, more)
