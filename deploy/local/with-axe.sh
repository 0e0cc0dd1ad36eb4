#!/bin/bash
# with-axe.sh COMMAND…: runs COMMAND with CAPI_AXE, the path of axe, which checks the accessibility of a page.
. "$(dirname "$0")/common.sh"
for part in packages venv; do . "$HERE/$part.sh"; done

lock
install_packages
ensure_venv axe "$HERE/axe.txt"
exec 9>&-
CAPI_AXE=$(echo "$LOCAL"/axe/lib/python3*/site-packages/axe_playwright_python/axe.min.js) exec "$@"
