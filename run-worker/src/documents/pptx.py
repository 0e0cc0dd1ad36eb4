# PPTX: the text and the tables of each slide, in the order of the slides, with the speaker's notes.

PRESENTATION = "ppt/presentation.xml"


def read(text):
    archive = open_archive(text)
    names = set(archive.namelist())
    if PRESENTATION not in names:
        raise Ended("damaged", why=f"it holds no {PRESENTATION}")
    slides, found = [], relations(archive, PRESENTATION)

    def begin(name, attributes):
        if name == "sldId":
            slides.append(found.get(attributes.get(":id"), ("", "", False))[1])

    parse(archive, PRESENTATION, begin)
    text.facts[:0] = ["PPTX", f"{len(slides)} slide(s)"]
    if len(slides) > PAGES:
        text.fact(f"only the first {PAGES} slides were read")
    pictures = sum(name.startswith("ppt/media/") for name in names)
    if pictures:
        text.fact(f"its {pictures} picture(s) are not shown")
    any_text = False
    for number, slide in enumerate(slides[:PAGES], 1):
        text.add(f"[slide {number}]")
        any_text |= slide in names and write(text, archive, slide)
        notes = [path for kind, path, _ in relations(archive, slide).values() if kind == "notesSlide"]
        if notes and notes[0] in names:
            before = len(text.lines)
            if write(text, archive, notes[0]):
                text.lines.insert(before, "[notes]\n")
                any_text = True
    if not any_text:
        raise Ended("no_text")


def write(text, archive, part):
    before = len(text.lines)
    paragraphs = Paragraphs(text)
    parse(archive, part, paragraphs.begin, paragraphs.end, paragraphs.characters)
    return len(text.lines) > before


main(read)
