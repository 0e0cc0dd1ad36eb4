# What the sample apps use beside a model: the pages of deploy/samples on loopback, and the search provider
# `local` that has an index of them.

# The server has an address of its own. So fetch_url needs to reach no other server of this machine.
PAGES_ADDRESS=127.0.0.80

start_samples() {
    local port file=$LOCAL/search.toml
    SEARCH_FILE=$file
    if alive pages; then
        port=$(port_of pages 18090)
    else
        step "start the server of the sample pages"
        port=$(free_port_for pages 18090)
        launch pages python3 -m http.server --bind "$PAGES_ADDRESS" \
            --directory "$ROOT/deploy/samples/pages" "$port" 9>&-
    fi
    wait_until 30 "the server of the sample pages" "$LOG/pages.log" \
        curl -fsS -m 5 "http://$PAGES_ADDRESS:$port/index.html"
    alive pages || fail "the server of the sample pages ended; run this again" "$LOG/pages.log"
    cat > "$file" <<TOML
[[providers]]
name = "local"
provider = "local"
path = "$ROOT/deploy/samples/pages"
base_url = "http://$PAGES_ADDRESS:$port/"
default = true
TOML
}
