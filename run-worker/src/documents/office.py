# The parts of a document that is a ZIP archive of XML files. Nothing is unpacked as a whole: a part of a few
# kilobytes may unpack to gigabytes.

import re
import zipfile
from xml.parsers import expat

# Paragraphs in paragraphs, by text boxes. Office writes two or three.
LEVELS = 50
# The beginning of the older binary formats, and of documents with a password.
COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def open_archive(text):
    with open(DOCUMENT, "rb") as file:
        if file.read(len(COMPOUND)) == COMPOUND:
            raise Ended("encrypted" if holds(file, ENCRYPTED) else "old_format")
    archive = zipfile.ZipFile(DOCUMENT)
    names = archive.namelist()
    if any(info.flag_bits & 1 for info in archive.infolist()):
        raise Ended("encrypted")
    if any(name.endswith("vbaProject.bin") for name in names):
        text.fact("its macros were ignored")
    return archive


def holds(file, wanted):
    end = b""
    while piece := file.read(1 << 20):
        if wanted in end + piece:
            return True
        end = piece[-len(wanted) :]
    return False


def check_sizes(archive, is_read_whole):
    """zipfile unpacks no more bytes of a part than its entry names."""
    for info in archive.infolist():
        if is_read_whole(info.filename) and info.file_size > PART_BYTES:
            raise Ended("unpacks_too_large", part=info.filename[-100:], bytes=info.file_size)


def refuse_doctype(*_):
    raise Ended("damaged", why="it holds a document type definition")


def parse(archive, name, begin, end=None, characters=None):
    """Calls the functions for the elements of a part, with local names. Builds no tree. The name of an
    attribute with a namespace begins with a colon: `id` and `r:id` are two.
    """
    check_sizes(archive, lambda part: part == name)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler = lambda name, attributes: begin(
        local(name), {(":" if " " in key else "") + local(key): value for key, value in attributes.items()}
    )
    parser.EndElementHandler = end and (lambda name: end(local(name)))
    parser.CharacterDataHandler = characters
    with archive.open(name) as part:
        while piece := part.read(1 << 16):
            parser.Parse(piece, False)
    parser.Parse(b"", True)


def local(name):
    return name.rpartition(" ")[2]


def relations(archive, part):
    """The targets of a part's relations by id, with their kinds."""
    folder, _, file = part.rpartition("/")
    name = f"{folder}/_rels/{file}.rels"
    found = {}

    def begin(element, attributes):
        if element == "Relationship" and len(found) < RELATIONS:
            target = attributes.get("Target", "")
            path = target[1:] if target.startswith("/") else joined(folder, target)
            kind = attributes.get("Type", "").rpartition("/")[2]
            found[attributes.get("Id")] = (kind, path, attributes.get("TargetMode") == "External")

    if name in archive.namelist():
        parse(archive, name, begin)
    return found


def joined(folder, target):
    parts = folder.split("/")
    for step in target.split("/"):
        if step == "..":
            parts = parts[:-1]
        elif step != ".":
            parts.append(step)
    return "/".join(parts)


def tell_external(text, found):
    if any(external and kind != "hyperlink" for kind, _, external in found.values()):
        text.fact("its links to other files were not followed")


class Paragraphs:
    """Writes the paragraphs and tables of a part. WordprocessingML and DrawingML name them alike."""

    def __init__(self, text):
        self.text = text
        # The open paragraphs: one may hold another in a text box.
        self.open = []
        self.prefix = ""
        self.in_text = self.in_run = self.skipped = self.tables = 0
        self.row, self.cell = [], []
        self.held = 0

    def begin(self, name, attributes):
        if self.skipped or name == "Fallback":
            # The same content again, for older programs.
            self.skipped += 1
        elif name == "p":
            self.open.append([])
            self.prefix = ""
            if len(self.open) > LEVELS:
                raise Ended("damaged", why=f"it nests more than {LEVELS} paragraphs")
        elif name == "t":
            self.in_text += 1
        elif name == "r":
            self.in_run += 1
        elif name in ("br", "cr"):
            self.write("\n")
        elif name == "tab" and self.in_run:
            self.write("\t")
        elif name == "pStyle":
            self.prefix = mark_of(attributes.get(":val", ""))
        elif name == "numPr" and not self.prefix:
            self.prefix = "- "
        elif name == "tbl":
            self.tables += 1
        elif name == "tr" and self.tables == 1:
            self.row = []
        elif name == "tc" and self.tables == 1:
            self.cell = []

    def end(self, name):
        if self.skipped:
            self.skipped -= 1
        elif name == "p" and self.open:
            self.paragraph("".join(self.open.pop()).strip())
        elif name == "t":
            self.in_text -= 1
        elif name == "r":
            self.in_run -= 1
        elif name == "tbl":
            self.tables -= 1
            if not self.tables:
                self.text.add("")
        elif name == "tc" and self.tables == 1:
            self.row.append(" ".join(self.cell).replace("\n", " "))
        elif name == "tr" and self.tables == 1:
            self.text.add(" | ".join(self.row))
            self.held = 0

    def characters(self, characters):
        if self.in_text and not self.skipped:
            self.write(characters)

    def write(self, characters):
        if self.open:
            self.open[-1].append(characters)
            self.held += len(characters)
            if self.held > TEXT_BYTES:
                # Only a hostile paragraph or row is that long.
                self.text.add("".join(self.open[-1]))

    def paragraph(self, paragraph):
        prefix, self.prefix = self.prefix, ""
        if not paragraph:
            return
        if self.tables:
            self.cell.append(paragraph)
        else:
            self.held = 0
            self.text.add(prefix + paragraph + ("\n" if prefix.startswith("#") else ""))


def mark_of(style):
    """What stands before a paragraph of a style: `Heading2`, `berschrift2`, `Titre2`, `ListBullet`."""
    if style.lower().startswith("list"):
        return "- "
    match = re.fullmatch(r"(?i)(?:heading|.?berschrift|titre|t.tulo|titolo|kop|rubrik)\s*([1-6])", style)
    if match:
        return "#" * int(match[1]) + " "
    return "# " if style.lower() == "title" else ""
