#!/bin/bash
# make check: format, widths, lints, docs and container files.
. "$(dirname "$0")/common.sh"
. "$HERE/phases.sh"

cd "$ROOT"
check_texts
phase "lint" cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
phase "check the docs" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
phase "lint the container files" bash "$HERE/lint-containers.sh"
