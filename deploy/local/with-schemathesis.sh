#!/bin/bash
# with-schemathesis.sh COMMAND…: runs COMMAND with CAPI_SCHEMATHESIS, the fuzzer that the contract's test uses.
. "$(dirname "$0")/common.sh"
. "$HERE/packages.sh"

VENV=$LOCAL/schemathesis
WANTED=$HERE/schemathesis.txt

lock
install_packages
if ! cmp -s "$WANTED" "$VENV/installed.txt"; then
    step "install schemathesis"
    { python3 -m venv --clear "$VENV" && "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$WANTED"; } \
        > "$LOG/schemathesis-install.log" 2>&1 9>&- || fail "schemathesis cannot be installed" "$LOG/schemathesis-install.log"
    cp "$WANTED" "$VENV/installed.txt"
fi
exec 9>&-
CAPI_SCHEMATHESIS=$VENV/bin/schemathesis exec "$@"
