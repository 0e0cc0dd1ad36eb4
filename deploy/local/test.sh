#!/bin/bash
# make test: checks, compiles and tests everything, then prints how long each phase took.
. "$(dirname "$0")/common.sh"
for part in packages phases; do . "$HERE/$part.sh"; done

cd "$ROOT"
TESTS_LOG=$LOG/tests.log
: > "$TESTS_LOG"
report() { python3 "$HERE/report_phases.py" "$PHASES" "$TESTS_LOG"; }

# The installation needs the network and cargo needs the processors, so they run side by side.
allow_sudo browser
step "install the test tools in the background"
bash "$HERE/prepare-tests.sh" > "$LOG/prepare-tests.log" 2>&1 &
PREPARATION=$!
trap report EXIT

check_texts
# Lints and tests share the results of one compiler, so that no crate compiles twice.
export RUSTC_WORKSPACE_WRAPPER=$HERE/clippy-compiler.sh
# `cargo test` checks the docs where it would run their examples.
export RUSTDOC=$HERE/rustdoc-lints.sh RUSTDOC_LINTS_OUT=$LOCAL/rustdoc
# Many tests wait most of the time, so more of them than processors run at once.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}
# A first build gains nothing from the data that make the next one faster.
[ -d target/debug ] || export CARGO_INCREMENTAL=0
# One command for programs and tests: they share one set of features.
phase "lint and compile" cargo build --locked --workspace --bins --tests
phase "wait for the test tools" wait $PREPARATION || fail "the test tools" "$LOG/prepare-tests.log"
run_tests() {
    bash "$HERE/with-test-services.sh" bash "$HERE/with-schemathesis.sh" bash "$HERE/with-axe.sh" \
        bash "$HERE/with-node.sh" cargo test --locked --workspace 2>&1 | tee "$TESTS_LOG"
}
trap - ERR
phase "test" run_tests
