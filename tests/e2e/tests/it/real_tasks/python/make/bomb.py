"""bomb.docx: its text unpacks to half a gigabyte."""

import zipfile

import docx

PIECE = b"<!--" + b"x" * ((8 << 20) - 7) + b"-->"

document = docx.Document()
document.add_paragraph("Hello.")
document.save("small.docx")
with zipfile.ZipFile("small.docx") as small, zipfile.ZipFile(
    "bomb.docx", "w", zipfile.ZIP_DEFLATED, compresslevel=1
) as bomb:
    for part in small.namelist():
        with bomb.open(part, "w") as target:
            text = small.read(part)
            if part == "word/document.xml":
                head, body = text.split(b"<w:body>")
                target.write(head + b"<w:body>")
                for _ in range(64):
                    target.write(PIECE)
                text = body
            target.write(text)
