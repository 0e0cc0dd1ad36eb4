"""Checks that each file which a Markdown file of the repository names exists, and fails if one does not.

A path is relative to the root of the repository or to the file's own folder. It may hold {a,b} and *. A bare
name.rs may be anywhere.
"""

import glob
import os
import re
import subprocess
import sys

ROOTS = "gateway|run-worker|webhook-dispatcher|public-client|model-client|shared|cli|deploy|docs|tests"
PATH = re.compile(rf"(?<![\w./{{$-])((?:{ROOTS})/[\w./{{}},*-]*)")
RUST_FILE = re.compile(r"(?<![\w./*{}-])([\w/-]+\.rs)\b")


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.splitlines()


def is_ignored(path):
    """Git ignores the files that a reader creates."""
    return subprocess.run(["git", "check-ignore", "--quiet", path], check=False).returncode == 0


def alternatives(path):
    """`a/{b,c}/d` names two paths."""
    found = re.search(r"\{([^{}]*)\}", path)
    if not found:
        return [path]
    before, after = path[: found.start()], path[found.end() :]
    return [one for part in found[1].split(",") for one in alternatives(before + part + after)]


def exists(folder, path):
    """Whether the path leads somewhere, from the root of the repository or from the file's own folder."""
    return glob.glob(path) or glob.glob(os.path.join(folder, path)) or is_ignored(path)


def missing(folder, text, rust_files):
    for match in PATH.finditer(text):
        for path in alternatives(match[1].rstrip(".,-")):
            if not exists(folder, path):
                yield path
    for match in RUST_FILE.finditer(PATH.sub("", text)):
        if not any(known.endswith("/" + match[1]) for known in rust_files):
            yield match[1]


def main():
    os.chdir(git("rev-parse", "--show-toplevel")[0])
    rust_files = ["/" + path for path in git("ls-files", "-co", "--exclude-standard", "*.rs")]
    faults = []
    for name in git("ls-files", "-co", "--exclude-standard", "*.md"):
        with open(name, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                found = missing(os.path.dirname(name), line, rust_files)
                faults.extend(f"{name}:{number}: there is no file {path}" for path in found)
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
