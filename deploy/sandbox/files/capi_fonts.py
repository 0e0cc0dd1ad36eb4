"""Lets matplotlib draw characters that the font of a text lacks, whatever font a script or a style names.

prepare.sh adds the call of `add_fallback` to matplotlib.font_manager.
"""

import functools
import json
import logging
import sys
from pathlib import Path


class Once(logging.Filter):
    """Passes each message once. matplotlib says for each text that it does not know a font."""

    def __init__(self):
        super().__init__()
        self.passed = set()

    def filter(self, record):
        message = record.getMessage()
        is_new = message not in self.passed
        self.passed.add(message)
        return is_new


def add_fallback(manager):
    logging.getLogger("matplotlib.font_manager").addFilter(Once())
    find = manager._find_fonts_by_props

    @functools.wraps(find)
    def find_with_fallback(self, prop, fontext="ttf", directory=None, *others, **named):
        found = find(self, prop, fontext, directory, *others, **named)
        if fontext == "ttf" and directory is None:
            found.extend(font for font in fonts(self) if font not in found)
        return found

    @functools.cache
    def families():
        return json.loads((Path(sys.prefix) / "kit.json").read_text())["fallback"]

    def fonts(self):
        for family in families():
            try:
                yield self.findfont(family, fallback_to_default=False, rebuild_if_missing=False)
            except ValueError:
                # The machine of this worker does not have the font.
                continue

    manager._find_fonts_by_props = find_with_fallback
