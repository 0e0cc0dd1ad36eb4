#!/bin/bash
# rustdoc-lints.sh ARGUMENT…: renders the documentation of a crate, and every warning is an error. `cargo
# test` calls it as RUSTDOC, with the arguments that would run the examples in doc comments. There are none.
# (`cargo doc` would compile each dependency a second time.)
set -eu

arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --test) ;;
        --test-run-directory | --test-args | --test-runtool | --test-runtool-arg) shift ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
exec rustdoc "${arguments[@]}" -D warnings --out-dir "$RUSTDOC_LINTS_OUT"
