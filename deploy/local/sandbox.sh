# The Python environment of the sandbox, made once for each list of packages. A worker that runs as root uses it as another user,
# who cannot pass a home directory: so it is not in this tree then.

prepare_sandbox() {
    local list=$ROOT/deploy/sandbox/requirements.txt base=$LOCAL/sandbox target
    if [ "$(id -u)" = 0 ]; then base=/var/lib/capi/sandbox; fi
    target=$base/python-$(cat "$list" "$ROOT/deploy/sandbox/prepare.sh" | sha256sum | cut -c1-16)
    if [ ! -x "$target/bin/python3" ]; then
        step "install the sandbox's Python packages (about 300 MB)"
        bash "$ROOT/deploy/sandbox/prepare.sh" "$target" > "$LOG/sandbox-install.log" 2>&1 9>&- ||
            fail "the sandbox's Python cannot be prepared" "$LOG/sandbox-install.log"
    fi
    CAPI_SANDBOX_PYTHON=$target
}
