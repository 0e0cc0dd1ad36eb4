# capi's own three services, from target/release, and the files that tell clients and further replicas about them.

SERVICES=(gateway run-worker webhook-dispatcher)

build_services() {
    step "build (release; the first time takes a few minutes)"
    (cd "$ROOT" && cargo build --release -p gateway -p run-worker -p webhook-dispatcher 9>&-) || fail "cargo build"
}

write_services_env() { # GATEWAY-PORT
    if [ ! -s "$LOCAL/secret.key" ]; then (umask 077 && openssl rand -base64 32 > "$LOCAL/secret.key"); fi
    (
        umask 077
        {
            echo "CAPI_DATABASE_URL='$CAPI_DATABASE_URL'"
            echo "CAPI_AMQP_URL='$CAPI_AMQP_URL'"
            echo "CAPI_QUEUE_PREFIX='${CAPI_QUEUE_PREFIX:-capi}'"
            echo "CAPI_MODELS='$MODELS_FILE'"
            echo "CAPI_PLANS='${CAPI_PLANS:-}'"
            echo "CAPI_ARTIFACTS_URL='file://$LOCAL/artifacts'"
            echo "CAPI_PUBLIC_URL='http://127.0.0.1:$1'"
            echo "CAPI_SANDBOX='${CAPI_SANDBOX:-}'"
            echo "CAPI_SANDBOX_PYTHON='$CAPI_SANDBOX_PYTHON'"
            echo "CAPI_SECRET_KEY_FILE='$LOCAL/secret.key'"
            echo "CAPI_WEBHOOK_ALLOWED_NETWORKS='${CAPI_WEBHOOK_ALLOWED_NETWORKS:-127.0.0.0/8}'"
        } | grep -v "=''$" > "$LOCAL/services.env.new"
        mv "$LOCAL/services.env.new" "$LOCAL/services.env"
    )
}

# The services' settings, and nothing else of capi's but the model keys that CAPI_MODELS names.
load_services_env() {
    local name models
    models=$(. "$LOCAL/services.env" && echo "$CAPI_MODELS")
    for name in "${!CAPI_@}"; do
        grep -qE "^ *api_key_env *= *[\"']$name[\"']" "$models" || unset "$name"
    done
    set -a
    . "$LOCAL/services.env"
    set +a
}

capi_gateway() { (load_services_env && "$ROOT/target/release/gateway" "$@"); }

start_services() {
    local service http_port
    for service in "${SERVICES[@]}"; do
        # Restarted each time, so that it is the build of this tree that runs.
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

launch_service() ( # a subshell: the service's settings stay in it
    service=$1 http_addr=$2 program=("$ROOT/target/release/$1")
    load_services_env
    export CAPI_RUN_DIR=$RUN
    if [ "$service" = gateway ]; then
        program+=(serve)
        export CAPI_HTTP_ADDR=$http_addr
    fi
    launch "$service" "${program[@]}" 9>&-
)

service_is_ready() { curl -fsS -m 5 "http://$(cat "$RUN/$1.ops")/readyz"; }
