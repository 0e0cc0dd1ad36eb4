# A private RabbitMQ: data under .local/, loopback only, ports and an epmd of its own. The programs below
# /usr/lib/rabbitmq are used, since the wrappers on PATH switch to another user.

RABBIT_BIN=/usr/lib/rabbitmq/bin

rabbit() { # PROGRAM ARGUMENT…: in the private node's environment, and no other.
    local program=$1
    shift
    env -i PATH="$PATH" HOME="$LOCAL/rabbitmq" LANG=C.UTF-8 \
        RABBITMQ_NODENAME="capi-$AMQP_PORT@localhost" RABBITMQ_NODE_PORT="$AMQP_PORT" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
        RABBITMQ_DIST_PORT="$(port_for rabbitmq-dist 25720)" ERL_EPMD_PORT="$(port_for epmd 24369)" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
        RABBITMQ_MNESIA_BASE="$LOCAL/rabbitmq/mnesia" RABBITMQ_LOG_BASE="$LOG/rabbitmq" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$LOCAL/rabbitmq/enabled_plugins" RABBITMQ_PID_FILE="$LOCAL/rabbitmq/pid" \
        RABBITMQ_CONFIG_FILE="$LOCAL/rabbitmq/rabbitmq" RABBITMQ_CONF_ENV_FILE=/dev/null \
        "$RABBIT_BIN/$program" "$@" 9>&-
}

start_rabbitmq() {
    AMQP_PORT=$(port_for rabbitmq 56720)
    CAPI_AMQP_URL=amqp://guest:guest@127.0.0.1:$AMQP_PORT/%2f
    if alive rabbitmq && ! port_is_free "$AMQP_PORT"; then return; fi
    step "start RabbitMQ"
    local name
    for name in rabbitmq rabbitmq-dist epmd; do
        # Data follows the node's name and so the port: a taken one means a fresh node, which holds nothing but nudges.
        if [ -s "$RUN/$name.port" ] && ! port_is_free "$(cat "$RUN/$name.port")"; then rm -f "$RUN/$name.port"; fi
    done
    AMQP_PORT=$(port_for rabbitmq 56720)
    CAPI_AMQP_URL=amqp://guest:guest@127.0.0.1:$AMQP_PORT/%2f
    mkdir -p "$LOCAL/rabbitmq/mnesia" "$LOG/rabbitmq"
    echo '[].' > "$LOCAL/rabbitmq/enabled_plugins"
    printf 'loopback_users.guest = true\ndisk_free_limit.absolute = 200MB\n' > "$LOCAL/rabbitmq/rabbitmq.conf"
    rm -f "$LOCAL/rabbitmq/pid"
    rabbit rabbitmq-server -detached > "$LOG/rabbitmq.log" 2>&1 < /dev/null || fail "RabbitMQ does not start" "$LOG/rabbitmq.log"
    wait_until 30 "RabbitMQ's pid file" "$LOG/rabbitmq.log" test -s "$LOCAL/rabbitmq/pid"
    remember rabbitmq "$(cat "$LOCAL/rabbitmq/pid")"
    local node_log=$LOG/rabbitmq/capi-$AMQP_PORT@localhost.log
    wait_until 90 "RabbitMQ" "$node_log" rabbit rabbitmqctl -q await_startup --timeout 10
    remember_epmd
}

# epmd outlives the node and belongs to nobody: it is found by the port that only ours listens on.
remember_epmd() {
    local pid
    for pid in $(pgrep -u "$(id -u)" -x epmd || true); do
        if [ -r "/proc/$pid/environ" ] && tr '\0' '\n' 2> /dev/null < "/proc/$pid/environ" | grep -qx "ERL_EPMD_PORT=$(cat "$RUN/epmd.port")"; then
            remember epmd "$pid"
        fi
    done
}

stop_rabbitmq() {
    end rabbitmq
    end epmd
}
