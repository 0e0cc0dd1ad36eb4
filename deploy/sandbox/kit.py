"""kit.py core|full KIT.TOML: completes the environment that it runs in, and tests that.

It makes the font for PDFs and kit.json, which lists what a sandbox finds: only packages that can be imported,
and only programs and fonts that this machine has.
"""

import importlib
import importlib.metadata
import json
import platform
import sys
import tomllib
import warnings
from pathlib import Path

from fontTools.ttLib import TTFont

HERE = Path(sys.prefix)
# Where a sandbox sees this environment.
INSIDE = "/opt/python"
PDF_FONT = "fonts/cjk.ttf"


def parts_of(toml, kit):
    return {name: [one for one in listed if one.get("kit", "core") in ("core", kit)]
            for name, listed in tomllib.loads(Path(toml).read_text()).items()}


def is_there(one):
    return Path(one["path"]).exists()


def make_pdf_font(fonts):
    """The first font of a collection, as a file of its own: many libraries read no collections."""
    source = next((font["path"] for font in fonts if font.get("pdf")), None)
    if source is None:
        return None
    target = HERE / PDF_FONT
    target.parent.mkdir(exist_ok=True)
    TTFont(source, fontNumber=0).save(target)
    return f"{INSIDE}/{PDF_FONT}"


def packages(listed):
    for one in listed:
        importlib.import_module(one["module"])
        version = importlib.metadata.version(one["package"])
        yield {"name": one["module"], "package": one["package"], "version": version,
               "purpose": one["purpose"]}


def named(listed):
    return [{"name": one["names"], "path": one["path"], "purpose": one.get("purpose", "")}
            for one in listed if is_there(one)]


def write(kit, parts):
    fonts = [font for font in parts["font"] if is_there(font)]
    # First: reportlab registers it when it is imported.
    pdf_font = make_pdf_font(fonts)
    content = {
        "kit": kit,
        "python": platform.python_version(),
        "packages": list(packages(parts["python"])),
        "programs": named(parts["program"]) + named(parts["found"]),
        "fonts": [{"name": font["family"], "path": font["path"], "purpose": font["purpose"]}
                  for font in fonts],
        "fallback": [font["family"] for font in sorted(fonts, key=lambda font: font.get("fallback", 0))
                     if "fallback" in font],
        "pdf_font": pdf_font,
    }
    (HERE / "kit.json").write_text(json.dumps(content, indent=1) + "\n")
    return content


def check_chart():
    """Each font draws all characters, also after a style that names other fonts."""
    import matplotlib.pyplot as pyplot
    import seaborn

    seaborn.set_theme()
    pyplot.title("Zürich Ω 日本語 中文 한국어 📈")
    pyplot.savefig("/dev/null", format="png")


def check_pdf():
    from reportlab.pdfbase import pdfmetrics

    pdfmetrics.getFont("CJK")


def main():
    kit, toml = sys.argv[1:]
    parts = parts_of(toml, kit)
    content = write(kit, parts)
    missing = {font["family"] for font in parts["font"]} - {font["name"] for font in content["fonts"]}
    if missing:
        print(f"this machine lacks fonts of the kit: {', '.join(sorted(missing))}", file=sys.stderr)
    else:
        warnings.simplefilter("error")
        check_pdf()
    check_chart()


main()
