# The Debian packages that capi and its tests need. Missing ones are installed as root or with sudo.

need_package() { # COMMAND-TEST PACKAGE…
    local test=$1
    shift
    bash -c "$test" > /dev/null 2>&1 || MISSING+=("$@")
}

# install_packages [browser|machine]: installs what capi needs; with `browser` also what its tests need, with
# `machine` also what a virtual machine needs.
install_packages() {
    find_missing_packages "$@"
    [ ${#MISSING[@]} -gt 0 ] || return 0
    step "install ${MISSING[*]}"
    local log=$LOG/packages.log command=(deploy/local/install-packages.sh "${MISSING[@]}")
    if [ "$(id -u)" != 0 ]; then
        command -v sudo > /dev/null && { sudo -n true 2> /dev/null || [ -t 0 ]; } ||
            fail "these packages need root; run: sudo $ROOT/deploy/local/install-packages.sh ${MISSING[*]}"
        command=(sudo "${command[@]}")
    fi
    (cd "$ROOT" && "${command[@]}") > "$log" 2>&1 8>&- 9>&- || fail "apt-get" "$log"
}

# allow_sudo [browser]: asks for sudo's password early, before the compiler's messages hide the question.
allow_sudo() {
    find_missing_packages "$@"
    if [ ${#MISSING[@]} -gt 0 ] && [ "$(id -u)" != 0 ] && [ -t 0 ]; then sudo -v || true; fi
}

find_missing_packages() {
    local has_venv='python3 -m venv --help && python3 -m ensurepip --version'
    MISSING=()
    need_package 'ls /usr/lib/postgresql/*/bin/initdb || command -v initdb' postgresql
    need_package 'test -x /usr/lib/rabbitmq/bin/rabbitmq-server' rabbitmq-server
    need_package "$has_venv && /usr/bin/python3 -m ensurepip --version" python3 python3-venv
    need_package 'command -v curl' curl
    need_package 'test -x /usr/bin/bwrap' bubblewrap
    need_package 'command -v setsid && command -v flock && command -v unshare' util-linux
    need_package 'command -v openssl' openssl
    need_packages_of_kit
    if [ "${1:-}" = browser ]; then
        need_package 'command -v chromium' chromium
        need_package 'command -v jq' jq
        need_package 'command -v chromedriver' chromium-driver
        # They run the examples of docs/guides.
        need_package 'command -v go' golang-go
        need_package 'ruby -e "require %q(webrick)"' ruby
        need_package 'command -v php' php-cli
    fi
    if [ "${1:-}" = machine ]; then
        need_package 'command -v qemu-system-x86_64' qemu-system-x86
        need_package 'ls /boot/vmlinuz-*-amd64 && ls /lib/modules/*-amd64' linux-image-amd64
        need_package 'command -v mkinitramfs' initramfs-tools
        need_package 'command -v mkfs.ext4' e2fsprogs
    fi
}

# What commands in the sandbox use. CAPI_SANDBOX_KIT is core or full.
need_packages_of_kit() {
    local listed package path
    listed=$(bash "$ROOT/deploy/sandbox/debian.sh" "${CAPI_SANDBOX_KIT:-core}") ||
        fail "cannot read the kit of the sandbox"
    while read -r package path; do need_package "test -e $path" "$package"; done <<< "$listed"
}
