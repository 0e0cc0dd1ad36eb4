# A private RabbitMQ: its data is in .local, it listens on loopback only, with ports and an epmd of its own.
# The scripts call the programs in /usr/lib/rabbitmq, because the wrappers on PATH switch to another user.

RABBIT_BIN=/usr/lib/rabbitmq/bin

rabbit() { # PROGRAM ARGUMENT…: with the private node's environment only
    local program=$1
    shift
    local settings=(
        RABBITMQ_NODENAME="capi-$AMQP_PORT@localhost"
        RABBITMQ_NODE_PORT="$AMQP_PORT"
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
        RABBITMQ_DIST_PORT="$(port_of rabbitmq-dist 25720)"
        ERL_EPMD_PORT="$(port_of epmd 24369)"
        ERL_EPMD_ADDRESS=127.0.0.1
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
        RABBITMQ_MNESIA_BASE="$LOCAL/rabbitmq/mnesia"
        RABBITMQ_LOG_BASE="$LOG/rabbitmq"
        RABBITMQ_ENABLED_PLUGINS_FILE="$LOCAL/rabbitmq/enabled_plugins"
        RABBITMQ_PID_FILE="$LOCAL/rabbitmq/pid"
        RABBITMQ_CONFIG_FILE="$LOCAL/rabbitmq/rabbitmq"
        RABBITMQ_CONF_ENV_FILE=/dev/null
    )
    env -i PATH="$PATH" HOME="$LOCAL/rabbitmq" LANG=C.UTF-8 "${settings[@]}" \
        "$RABBIT_BIN/$program" "$@" 9>&-
}

start_rabbitmq() {
    adopt_rabbitmq
    if ! alive rabbitmq; then launch_rabbitmq; fi
    AMQP_PORT=$(port_of rabbitmq 56720)
    CAPI_AMQP_URL=amqp://guest:guest@127.0.0.1:$AMQP_PORT/%2f
    local node_log=$LOG/rabbitmq/capi-$AMQP_PORT@localhost.log
    if port_is_free "$AMQP_PORT"; then
        wait_until 90 "RabbitMQ" "$node_log" rabbit rabbitmqctl -q await_startup --timeout 10
    fi
    adopt_rabbitmq
    # Another program may answer on the port.
    alive rabbitmq || fail "RabbitMQ ended, perhaps because its port was taken; run this again" "$node_log"
}

launch_rabbitmq() {
    step "start RabbitMQ"
    # An epmd that a crashed node left behind keeps its port.
    end epmd
    local port config=$LOCAL/rabbitmq log=$LOG/rabbitmq.log
    # The data belongs to the node's name, which contains the port. A new port means an empty node; it loses
    # only nudges.
    for port in rabbitmq=56720 rabbitmq-dist=25720 epmd=24369; do
        free_port_for "${port%=*}" "${port#*=}" > /dev/null
    done
    AMQP_PORT=$(port_of rabbitmq 56720)
    mkdir -p "$config/mnesia" "$LOG/rabbitmq"
    echo '[].' > "$config/enabled_plugins"
    printf 'loopback_users.guest = true\ndisk_free_limit.absolute = 200MB\n' > "$config/rabbitmq.conf"
    rabbit rabbitmq-server -detached > "$log" 2>&1 < /dev/null || fail "RabbitMQ did not start" "$log"
    wait_until 30 "RabbitMQ's process" "$log" rabbitmq_has_process
}

# The node and its epmd detach, and epmd outlives the node. The pid file's path in their environment
# identifies both.
adopt_rabbitmq() {
    local mark=RABBITMQ_PID_FILE=$LOCAL/rabbitmq/pid
    if ! alive rabbitmq; then adopt rabbitmq beam.smp start_sasl "$mark"; fi
    if ! alive epmd; then adopt epmd epmd -daemon "$mark"; fi
}

rabbitmq_has_process() { adopt_rabbitmq && alive rabbitmq; }

stop_rabbitmq() {
    adopt_rabbitmq
    end rabbitmq
    end epmd
}
