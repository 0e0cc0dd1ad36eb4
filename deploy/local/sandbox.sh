# The sandbox's Python environment, one for each list of packages.
# A worker that runs as root starts the sandbox as another user, who cannot enter a home directory. So root's
# environment is outside this tree.

prepare_sandbox() {
    local list=$ROOT/deploy/sandbox/requirements.txt script=$ROOT/deploy/sandbox/prepare.sh
    local base=$LOCAL/sandbox log=$LOG/sandbox-install.log
    if [ "$(id -u)" = 0 ]; then base=/var/lib/capi/sandbox; fi
    CAPI_SANDBOX_PYTHON=$base/python-$(cat "$list" "$script" | sha256sum | cut -c1-16)
    if [ -x "$CAPI_SANDBOX_PYTHON/bin/python3" ]; then return; fi
    step "install the sandbox's Python packages (about 300 MB)"
    bash "$script" "$CAPI_SANDBOX_PYTHON" > "$log" 2>&1 9>&- ||
        fail "cannot prepare the sandbox's Python environment" "$log"
}
