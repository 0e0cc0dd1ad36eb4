# DOCX: paragraphs, headings, lists and tables in their order, then notes and comments.


def read(text):
    archive = open_archive(text)
    names = archive.namelist()
    main = next((name for name in ("word/document.xml", "word/document2.xml") if name in names), None)
    if main is None:
        raise Ended("damaged", why="it holds no word/document.xml")
    pictures = sum(name.startswith("word/media/") for name in names)
    text.facts.insert(0, "DOCX")
    if pictures:
        text.fact(f"its {pictures} picture(s) are not shown")
    tell_external(text, relations(archive, main))
    tell_external(text, relations(archive, "word/settings.xml"))
    write(text, archive, main)
    for part, title in [("footnotes", "Footnotes"), ("endnotes", "Endnotes"), ("comments", "Comments")]:
        if f"word/{part}.xml" in names:
            before = len(text.lines)
            write(text, archive, f"word/{part}.xml")
            if len(text.lines) > before:
                text.lines.insert(before, f"\n[{title}]\n")
    if not text.lines:
        raise Ended("no_text")


def write(text, archive, part):
    paragraphs = Paragraphs(text)
    parse(archive, part, paragraphs.begin, paragraphs.end, paragraphs.characters)


main(read)
