# Python tools that the checks use. Each list pins versions and hashes, and has a virtual environment of its
# own. Only built packages are installed: building one would execute its code.

ensure_venv() { # NAME REQUIREMENTS: installs into .local/NAME
    local venv=$LOCAL/$1 log=$LOG/$1-install.log
    if cmp -s "$2" "$venv/installed.txt"; then return; fi
    step "install $1"
    { python3 -m venv --clear "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
            --require-hashes --only-binary :all: -r "$2"; } > "$log" 2>&1 9>&- ||
        fail "cannot install $1" "$log"
    cp "$2" "$venv/installed.txt"
}
