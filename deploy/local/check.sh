#!/bin/bash
# make check: format, lints, docs and container files.
. "$(dirname "$0")/common.sh"
. "$HERE/phases.sh"

cd "$ROOT"
check_code
phase "lint the container files" bash "$HERE/lint-containers.sh"
