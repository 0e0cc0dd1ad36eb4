"""Lists the lines of code and Markdown that are wider than 110 columns, and fails if there is one.

Two kinds of lines may be wider: rows of a Markdown table, and lines with a URL that has no room on any line.
"""

import re
import subprocess
import sys

WIDTH = 110
FILES = [
    "*.rs", "*.md", "*.sh", "*.py", "*.html", "*.js", "*.yml", "*Dockerfile", "*Cargo.toml", "*env.example",
    "Makefile",
]


def has_unbreakable_url(line):
    """Whether a URL of this line would be too wide even on a line of its own with the same indentation."""
    indent = len(line) - len(line.lstrip())
    return any(indent + len(word) > WIDTH for word in line.split() if re.search(r"[a-z]+://", word))


def is_excepted(path, line):
    is_table_row = path.endswith(".md") and line.lstrip().startswith("|")
    return is_table_row or has_unbreakable_url(line)


def main():
    command = ["git", "ls-files", "-z", "--", *FILES, ":!*.min.js"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True)
    wide = 0
    for path in filter(None, listing.stdout.split("\0")):
        try:
            with open(path, encoding="utf-8") as file:
                lines = file.read().split("\n")
        except FileNotFoundError:
            continue
        for number, line in enumerate(lines, start=1):
            if len(line) > WIDTH and not is_excepted(path, line):
                print(f"{path}:{number}: {len(line)} columns")
                wide += 1
    if wide:
        sys.exit(f"{wide} lines are wider than {WIDTH} columns")


if __name__ == "__main__":
    main()
