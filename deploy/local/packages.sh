# Debian packages that are missing: installed as root or with sudo, without starting any system service.

need_package() { # COMMAND-TEST PACKAGE…
    local test=$1
    shift
    bash -c "$test" > /dev/null 2>&1 || MISSING+=("$@")
}

# install_packages [browser]: what capi needs; with a browser what its tests need too.
install_packages() {
    MISSING=()
    need_package 'ls /usr/lib/postgresql/*/bin/initdb || command -v initdb' postgresql
    need_package 'test -x /usr/lib/rabbitmq/bin/rabbitmq-server' rabbitmq-server
    need_package 'command -v python3 && python3 -m venv --help && python3 -m ensurepip --version && /usr/bin/python3 -m ensurepip --version' python3 python3-venv
    need_package 'command -v curl' curl
    need_package 'test -x /usr/bin/bwrap' bubblewrap
    need_package 'command -v setsid && command -v flock && command -v unshare' util-linux
    need_package 'command -v openssl' openssl
    if [ "${1:-}" = browser ]; then
        need_package 'command -v chromium' chromium
        need_package 'command -v chromedriver' chromium-driver
        need_package 'test -f /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf' fonts-dejavu-core
    fi
    [ ${#MISSING[@]} -gt 0 ] || return 0
    step "install ${MISSING[*]}"
    local log=$LOG/packages.log command=(deploy/local/install-packages.sh "${MISSING[@]}")
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || [ -t 0 ] && command -v sudo > /dev/null ||
            fail "root is needed once; run: sudo $ROOT/deploy/local/install-packages.sh ${MISSING[*]}"
        command=(sudo "${command[@]}")
    fi
    (cd "$ROOT" && "${command[@]}") > "$log" 2>&1 8>&- 9>&- || fail "apt-get" "$log"
}
