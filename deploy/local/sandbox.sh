# The sandbox's Python environment, one for each kit and list of packages. CAPI_SANDBOX_KIT selects the kit:
# core, or full with the large packages (deploy/sandbox/kit.toml).
# A worker that runs as root starts the sandbox as another user, who cannot enter a home directory. So root's
# environment is outside this tree.

# install_packages comes first: the environment is made for the programs and fonts that are there.
prepare_sandbox() {
    local kit=${CAPI_SANDBOX_KIT:-core} from=$ROOT/deploy/sandbox megabytes=270
    local base=$LOCAL/sandbox log=$LOG/sandbox-install.log sum
    if [ "$(id -u)" = 0 ]; then base=/var/lib/capi/sandbox; fi
    if [ "$kit" = full ]; then megabytes=610; fi
    sum=$(find "$from" -type f ! -name README.md ! -name apparmor ! -name seccomp.json \
        ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 cat | sha256sum | cut -c1-16)
    CAPI_SANDBOX_PYTHON=$base/$kit-$sum
    if [ -x "$CAPI_SANDBOX_PYTHON/bin/python3" ]; then return; fi
    step "install the sandbox's Python packages (the kit \"$kit\", about $megabytes MB)"
    bash "$from/prepare.sh" "$CAPI_SANDBOX_PYTHON" "$kit" > "$log" 2>&1 9>&- ||
        fail "cannot prepare the sandbox's Python environment" "$log"
}
