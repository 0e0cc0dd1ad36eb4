# Python tools that checks use, at pinned versions, each set in an environment of its own.

ensure_venv() { # NAME REQUIREMENTS: .local/NAME
    local venv=$LOCAL/$1
    if ! cmp -s "$2" "$venv/installed.txt"; then
        step "install $1"
        { python3 -m venv --clear "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$2"; } \
            > "$LOG/$1-install.log" 2>&1 9>&- || fail "$1 cannot be installed" "$LOG/$1-install.log"
        cp "$2" "$venv/installed.txt"
    fi
}
