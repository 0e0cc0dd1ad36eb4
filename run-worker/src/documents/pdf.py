# PDF: the text of each page. poppler is far faster than pypdf; pypdf works where poppler is missing.

import re
import subprocess

PDFTOTEXT, PDFINFO = "/usr/bin/pdftotext", "/usr/bin/pdfinfo"


def read(text):
    with open(DOCUMENT, "rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise Ended("damaged", why="it does not begin like a PDF")
    pages = with_poppler if os.path.exists(PDFTOTEXT) and os.path.exists(PDFINFO) else with_pypdf
    total, title, pieces = pages()
    text.facts += ["PDF", f"{total} page(s)"]
    if title:
        text.fact(f"title {title[:200]!r}")
    if total > PAGES:
        text.fact(f"only the first {PAGES} pages were read")
    write(text, min(total, PAGES), pieces)


def write(text, expected, pieces):
    empty, damaged, number = [], [], 0
    for number, page in enumerate(pieces, 1):
        if page is None:
            damaged.append(number)
        elif not page.strip():
            empty.append(number)
        else:
            text.add(f"[page {number}]")
            text.add(tidy(page))
    if number < expected:
        damaged.append(number + 1)
    if not text.lines:
        if damaged:
            raise Ended("damaged", why="none of its pages can be read")
        raise Ended("scanned", pages=expected)
    if empty:
        text.fact(f"no text layer on page(s) {shown(empty)}: pictures or scans")
    if damaged:
        is_end = number < expected
        text.fact(f"damaged from page {damaged[0]} on" if is_end else f"damaged page(s) {shown(damaged)}")


def shown(numbers):
    return ", ".join(map(str, numbers[:20])) + (" and others" if len(numbers) > 20 else "")


def tidy(page):
    # Columns stay apart; the gaps between them need no more.
    lines = [re.sub(r" {6,}", "      ", line.rstrip()) for line in page.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def with_poppler():
    told = subprocess.run([PDFINFO, DOCUMENT], capture_output=True, timeout=SECONDS)
    facts = dict(line.partition(":")[::2] for line in told.stdout.decode("utf-8", "replace").splitlines())
    if b"Incorrect password" in told.stderr or b"Unsupported security handler" in told.stderr:
        raise Ended("encrypted")
    if told.returncode != 0 or "Pages" not in facts:
        why = told.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Ended("damaged", why=why[-1][:200] if why else "poppler cannot open it")
    return int(facts["Pages"]), facts.get("Title", "").strip(), poppler_pages()


def poppler_pages():
    line = [PDFTOTEXT, "-q", "-layout", "-enc", "UTF-8", "-l", str(PAGES), DOCUMENT, "-"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            page = b""
            while piece := process.stdout.read1(1 << 16):
                *complete, page = (page + piece).split(b"\f")
                yield from (one.decode("utf-8", "replace") for one in complete)
                if len(page) > TEXT_BYTES:
                    # Only a hostile page is that long.
                    yield page.decode("utf-8", "replace")
                    page = b""
        finally:
            process.kill()


def with_pypdf():
    from pypdf import PasswordType, PdfReader
    from pypdf.errors import DependencyError

    reader = PdfReader(DOCUMENT)
    try:
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise Ended("encrypted")
    except DependencyError:
        raise Ended("encrypted") from None
    title = reader.metadata and reader.metadata.title
    return len(reader.pages), title or "", pypdf_pages(reader)


def pypdf_pages(reader):
    for number in range(min(len(reader.pages), PAGES)):
        try:
            yield reader.pages[number].extract_text()
        except MemoryError:
            raise
        except Exception:
            yield None


main(read)
