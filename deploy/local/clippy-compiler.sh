#!/bin/bash
# clippy-compiler.sh RUSTC ARGUMENT…: compiles a crate of the workspace with clippy, and every warning is an
# error. cargo calls it as RUSTC_WORKSPACE_WRAPPER. (`cargo clippy` uses the same variable, but its results
# cannot be linked, so each dependency would be compiled a second time for the tests.)
exec "$("$1" --print sysroot)/bin/clippy-driver" "$@" -D warnings
