#!/bin/bash
# with-schemathesis.sh COMMAND…: runs COMMAND with CAPI_SCHEMATHESIS, the path of the fuzzer for the API.
. "$(dirname "$0")/common.sh"
for part in packages venv; do . "$HERE/$part.sh"; done

lock
install_packages
ensure_venv schemathesis "$HERE/schemathesis.txt"
exec 9>&-
CAPI_SCHEMATHESIS=$LOCAL/schemathesis/bin/schemathesis exec "$@"
