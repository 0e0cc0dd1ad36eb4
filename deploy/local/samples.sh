# What the sample apps use beside a model: the pages of deploy/samples on loopback, and the search provider
# `local` that has an index of them.

# The server has an address of its own. So fetch_url needs to reach no other server of this machine.
PAGES_ADDRESS=127.0.0.80

# Networks that fetch_url may reach beside public addresses. start_samples adds the address of the pages.
FETCH_NETWORKS=${CAPI_FETCH_ALLOWED_NETWORKS:-}

start_samples() {
    local port file=$LOCAL/search.toml
    SEARCH_FILE=$file
    FETCH_NETWORKS=${FETCH_NETWORKS:+$FETCH_NETWORKS,}$PAGES_ADDRESS/32
    if alive pages; then
        port=$(port_of pages 18090)
    else
        step "start the server of the sample pages"
        port=$(free_port_for pages 18090 "$PAGES_ADDRESS")
        launch pages python3 -m http.server --bind "$PAGES_ADDRESS" \
            --directory "$ROOT/deploy/samples/pages" "$port" 9>&-
    fi
    wait_until 30 "the server of the sample pages" "$LOG/pages.log" \
        curl --noproxy '*' -fsS -m 5 "http://$PAGES_ADDRESS:$port/index.html"
    if ! alive pages; then
        rm -f "$RUN/pages.port"
        fail "the server of the sample pages ended; run this again" "$LOG/pages.log"
    fi
    cat > "$file" <<TOML
[[providers]]
name = "local"
provider = "local"
path = "$ROOT/deploy/samples/pages"
base_url = "http://$PAGES_ADDRESS:$port/"
default = true
TOML
}
