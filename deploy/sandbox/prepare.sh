#!/bin/bash
# prepare.sh TARGET: makes the Python environment of the sandbox in TARGET, a new directory. It consists of
# the system's Python 3, the packages in requirements.txt, and matplotlib's list of fonts. Sandboxes can only
# read it. CAPI_SANDBOX_PYTHON names it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$1
made=$target.new
rm -rf "$made"
umask 022
mkdir -p "$(dirname "$target")"
/usr/bin/python3 -m venv "$made"
"$made/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    -r "$here/requirements.txt"
MPLCONFIGDIR=$made/matplotlib MPLBACKEND=Agg \
    "$made/bin/python3" -c 'import matplotlib.pyplot, pandas, openpyxl'
"$made/bin/pip" uninstall --quiet --yes pip setuptools
# A sandbox sees the environment at another path.
sed -i "1s|^#!$made/bin/python3.*|#!/opt/python/bin/python3|" "$made"/bin/*
mv "$made" "$target"
