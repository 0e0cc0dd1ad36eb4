#!/bin/bash
# prepare.sh TARGET [core|full]: makes the Python environment of the sandbox in TARGET, a new directory. It
# consists of the system's Python 3, the packages of the kit (kit.toml), fonts for them, matplotlib's list of
# fonts, and kit.json, which says what is there. Sandboxes can only read it. CAPI_SANDBOX_PYTHON names it.
#
# Install the Debian packages of the kit first (debian.sh): kit.json names only what the machine has.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$1 kit=${2:-core}
# mv would put the new environment into the old one. Workers may be using the old one, so it stays.
if [ -e "$target" ]; then
    echo "$target exists. Name a new directory, then set CAPI_SANDBOX_PYTHON to it." >&2
    exit 1
fi
bash "$here/debian.sh" "$kit" > /dev/null
more=()
if [ "$kit" = full ]; then more=(-r "$here/requirements-full.txt"); fi
made=$target.new
rm -rf "$made"
umask 022
mkdir -p "$(dirname "$target")"
/usr/bin/python3 -m venv "$made"
"$made/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-compile \
    --require-hashes --only-binary :all: -r "$here/requirements.txt" "${more[@]}"
"$made/bin/pip" uninstall --quiet --yes pip setuptools
packages=$("$made/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# The tests of the packages: half of all files.
find "$packages" -depth -type d -name tests -exec rm -rf {} +
cp "$here"/files/*.py "$here/files/pip" -r "$packages"
# For `pip` and `npm` in a shell. PATH names this directory first.
for name in pip pip3; do cp "$here/files/pip.sh" "$made/bin/$name"; done
for name in npm npx; do cp "$here/files/npm.sh" "$made/bin/$name"; done
chmod 755 "$made"/bin/{pip,pip3,npm,npx}
printf '\n\n# The kit of capi.\nfrom capi_fonts import add_fallback\nadd_fallback(FontManager)\n' \
    >> "$packages/matplotlib/font_manager.py"
# Sandboxes cannot write the compiled files.
"$made/bin/python3" -m compileall -q -j 0 "$packages"
MPLCONFIGDIR=$made/matplotlib MPLBACKEND=Agg "$made/bin/python3" "$here/kit.py" "$kit" "$here/kit.toml"
# A sandbox sees the environment at another path.
sed -i "1s|^#!$made/bin/python3.*|#!/opt/python/bin/python3|" "$made"/bin/*
mv "$made" "$target"
