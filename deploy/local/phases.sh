# Runs the phases of a check or a test, and records how long each took.

PHASES=$LOG/phases.tsv
: > "$PHASES"

phase() { # NAME COMMAND…
    local name=$1 started=$EPOCHREALTIME status=0
    shift
    step "$name"
    "$@" || status=$?
    awk -v name="$name" -v from="$started" -v to="$EPOCHREALTIME" \
        'BEGIN { printf "%s\t%.1f\n", name, to - from }' >> "$PHASES"
    return $status
}

# The phases that compile nothing.
check_texts() {
    phase "check the format" cargo fmt --all --check
    phase "check the widths" python3 "$HERE/widths.py"
    phase "check the paths in the docs" python3 "$HERE/check-paths.py"
}
