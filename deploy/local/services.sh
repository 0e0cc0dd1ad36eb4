# The three services of capi, and the files that hold their settings.
# They are built with the profile `local` of Cargo.toml, which compiles faster than `release`.

SERVICES=(gateway run-worker webhook-dispatcher)
BIN=$ROOT/target/local

# Compiles in the background; wait_for_build waits for the end. Everything that needs no compiled program is
# downloaded, installed and started meanwhile.
start_build() {
    step "compile the services in the background (a few minutes at the first time)"
    (cd "$ROOT" && exec cargo build --locked --profile local 9>&-) &
    BUILD=$!
    trap 'kill $BUILD 2> /dev/null || true' EXIT
}

wait_for_build() {
    step "wait for the compiler"
    wait $BUILD || fail "the build failed; its messages are above"
    trap - EXIT
}

write_services_env() { # GATEWAY-PORT
    local file=$LOCAL/services.env key=$LOCAL/secret.key
    if [ ! -s "$key" ]; then (umask 077 && openssl rand -base64 32 > "$key"); fi
    (
        umask 077
        {
            echo "CAPI_DATABASE_URL='$CAPI_DATABASE_URL'"
            echo "CAPI_AMQP_URL='$CAPI_AMQP_URL'"
            echo "CAPI_QUEUE_PREFIX='${CAPI_QUEUE_PREFIX:-capi}'"
            echo "CAPI_MODELS='$MODELS_FILE'"
            echo "CAPI_SEARCH='$SEARCH_FILE'"
            echo "CAPI_FETCH_ALLOWED_NETWORKS='$FETCH_NETWORKS'"
            echo "CAPI_PLANS='${CAPI_PLANS:-}'"
            echo "CAPI_ARTIFACTS_URL='file://$LOCAL/artifacts'"
            echo "CAPI_PUBLIC_URL='http://127.0.0.1:$1'"
            echo "CAPI_SANDBOX='${CAPI_SANDBOX:-}'"
            echo "CAPI_SANDBOX_PYTHON='$CAPI_SANDBOX_PYTHON'"
            echo "CAPI_SECRET_KEY_FILE='$key'"
            echo "CAPI_WEBHOOK_ALLOWED_NETWORKS='${CAPI_WEBHOOK_ALLOWED_NETWORKS:-127.0.0.0/8,::1/128}'"
        } | grep -v "=''$" > "$file.new"
        mv "$file.new" "$file"
    )
}

# Replaces all CAPI_ variables by those of services.env. It keeps the keys that the models file and the search
# file name.
load_services_env() {
    local name models search
    models=$(. "$LOCAL/services.env" && echo "$CAPI_MODELS")
    search=$(. "$LOCAL/services.env" && echo "$CAPI_SEARCH")
    for name in "${!CAPI_@}"; do
        grep -qE "^ *(api_)?key_env *= *[\"']$name[\"']" "$models" "$search" || unset "$name"
    done
    set -a
    . "$LOCAL/services.env"
    set +a
}

capi_gateway() { (load_services_env && "$BIN/gateway" "$@"); }

start_services() {
    local service http_port
    for service in "${SERVICES[@]}"; do
        # A restart makes sure that the programs of the latest build run.
        end "$service"
        rm -f "$RUN/$service.http" "$RUN/$service.ops"
    done
    http_port=$(free_port_for gateway 8080)
    write_services_env "$http_port"
    step "migrate the database"
    capi_gateway migrate > "$LOG/migrate.log" 2>&1 || fail "gateway migrate" "$LOG/migrate.log"
    step "start ${SERVICES[*]}"
    for service in "${SERVICES[@]}"; do
        launch_service "$service" "127.0.0.1:$http_port"
    done
    for service in "${SERVICES[@]}"; do
        wait_until 30 "$service" "$LOG/$service.log" service_is_ready "$service"
    done
    CAPI_URL=http://$(cat "$RUN/gateway.http")
}

launch_service() ( # A subshell, so that the service's settings do not reach the other services.
    service=$1 http_addr=$2 program=("$BIN/$1")
    load_services_env
    export CAPI_RUN_DIR=$RUN
    if [ "$service" = gateway ]; then
        program+=(serve)
        export CAPI_HTTP_ADDR=$http_addr
    fi
    launch "$service" "${program[@]}" 9>&-
)

service_is_ready() { curl -fsS -m 5 "http://$(cat "$RUN/$1.ops")/readyz"; }
