# XLSX: the rows of each sheet, or the first ones of a large sheet, with the number of all. Rows are read one
# by one. Values are those that the program that saved the file computed.

import datetime
import time


def read(text):
    begun = time.monotonic()
    archive = open_archive(text)
    names = archive.namelist()
    if "[Content_Types].xml" not in names:
        raise Ended("damaged", why="it holds no [Content_Types].xml")
    if "xl/workbook.bin" in names:
        raise Ended("old_format")
    # Sheets are read row by row, everything else as a whole.
    check_sizes(archive, lambda part: part.endswith((".xml", ".rels")) and "/worksheets/" not in part)
    if any(name.startswith("xl/externalLinks/") for name in names):
        text.fact("its links to other files were not followed")
    values = load(data_only=True)
    sheets = values.worksheets
    text.facts[:0] = ["XLSX", f"{len(sheets)} sheet(s)"]
    if len(sheets) > SHEETS:
        text.fact(f"only the first {SHEETS} sheets were read")
    formulas = None
    for index, sheet in enumerate(sheets[:SHEETS]):
        part = sheet._worksheet_path
        rows, is_whole, has_formulas = count(archive, part, begun + SECONDS / 2)
        if has_formulas and formulas is None:
            formulas = load(data_only=False).worksheets
        write(text, sheet, formulas[index] if has_formulas else None, (rows, is_whole))


def load(data_only):
    from openpyxl.reader import excel
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

    # Both would read whole parts: a sheet without a dimension, and the pictures of a chart sheet.
    ReadOnlyWorksheet._get_size = lambda self: None
    excel.ExcelReader.read_chartsheet = lambda self, sheet, rel: None
    # A path would need the extension of the name.
    return excel.load_workbook(open(DOCUMENT, "rb"), read_only=True, data_only=data_only, keep_links=False)


def count(archive, part, until):
    """The number of rows, whether these are all, and whether there are formulas."""
    rows, has_formulas, rest = 0, False, b""
    with archive.open(part) as file:
        while piece := file.read(1 << 20):
            # A tag that is cut belongs to the next piece.
            piece = rest + piece
            end = max(piece.rfind(b"<"), len(piece) - (1 << 20))
            piece, rest = piece[:end], piece[end:]
            rows += piece.count(b"<row ") + piece.count(b"<row>") + piece.count(b":row ")
            has_formulas = has_formulas or b"<f>" in piece or b"<f " in piece or b":f>" in piece
            if time.monotonic() > until:
                return rows, False, has_formulas
    return rows, True, has_formulas


def write(text, sheet, formulas, counted):
    rows, is_whole = counted
    shown = rows if rows <= WHOLE_ROWS and is_whole else HEAD_ROWS
    hidden = "" if sheet.sheet_state == "visible" else ", hidden"
    lines, length, width = [], 0, 0
    for row, formula_row in zip(sheet.iter_rows(values_only=True), rows_of(formulas)):
        width = max(width, len(row))
        cells = [shown_cell(cell, formula_row, at) for at, cell in enumerate(row[:COLUMNS])]
        if not any(cells):
            # A file may name a row far below, or give a format to empty ones.
            continue
        lines.append(" | ".join(cells))
        length += len(lines[-1])
        if len(lines) >= shown or length > TEXT_BYTES:
            break
    more = "" if is_whole else "more than "
    text.add(f"[sheet {sheet.title!r}: {more}{rows} row(s), {width} column(s){hidden}]")
    for line in lines:
        text.add(line)
    if width > COLUMNS:
        text.add(f"[only the first {COLUMNS} columns are shown]")
    if shown < rows or not is_whole:
        text.add(f"[only the first {len(lines)} rows are shown; openpyxl reads all with read_only=True]")
    text.add("")


def rows_of(formulas):
    if formulas is None:
        while True:
            yield ()
    yield from formulas.iter_rows(values_only=True)
    while True:
        yield ()


def shown_cell(value, formula_row, at):
    if value is None and at < len(formula_row):
        # The program that made the file computed nothing.
        value = formula_row[at]
        value = getattr(value, "text", value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    if isinstance(value, float):
        value = f"{value:.15g}"
    words = " ".join(str(value).split())
    return words if len(words) <= CELL_CHARS else words[:CELL_CHARS] + "…"


main(read)
