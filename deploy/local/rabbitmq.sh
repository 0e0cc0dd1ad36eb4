# A private RabbitMQ: data under .local/, loopback only, ports and an epmd of its own. The programs below
# /usr/lib/rabbitmq are used, since the wrappers on PATH switch to another user.

RABBIT_BIN=/usr/lib/rabbitmq/bin

rabbit() { # PROGRAM ARGUMENT…: in the private node's environment, and no other.
    local program=$1
    shift
    env -i PATH="$PATH" HOME="$LOCAL/rabbitmq" LANG=C.UTF-8 \
        RABBITMQ_NODENAME="capi-$AMQP_PORT@localhost" RABBITMQ_NODE_PORT="$AMQP_PORT" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
        RABBITMQ_DIST_PORT="$(port_of rabbitmq-dist 25720)" ERL_EPMD_PORT="$(port_of epmd 24369)" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
        RABBITMQ_MNESIA_BASE="$LOCAL/rabbitmq/mnesia" RABBITMQ_LOG_BASE="$LOG/rabbitmq" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$LOCAL/rabbitmq/enabled_plugins" RABBITMQ_PID_FILE="$LOCAL/rabbitmq/pid" \
        RABBITMQ_CONFIG_FILE="$LOCAL/rabbitmq/rabbitmq" RABBITMQ_CONF_ENV_FILE=/dev/null \
        "$RABBIT_BIN/$program" "$@" 9>&-
}

start_rabbitmq() {
    adopt_rabbitmq
    if ! alive rabbitmq; then
        step "start RabbitMQ"
        # Left by a node that died, it would keep its port.
        end epmd
        local name
        # Data follows the node's name and so the port: a taken one means a fresh node, which holds nothing but nudges.
        for name in rabbitmq=56720 rabbitmq-dist=25720 epmd=24369; do free_port_for "${name%=*}" "${name#*=}" > /dev/null; done
        AMQP_PORT=$(port_of rabbitmq 56720)
        mkdir -p "$LOCAL/rabbitmq/mnesia" "$LOG/rabbitmq"
        echo '[].' > "$LOCAL/rabbitmq/enabled_plugins"
        printf 'loopback_users.guest = true\ndisk_free_limit.absolute = 200MB\n' > "$LOCAL/rabbitmq/rabbitmq.conf"
        rabbit rabbitmq-server -detached > "$LOG/rabbitmq.log" 2>&1 < /dev/null || fail "RabbitMQ does not start" "$LOG/rabbitmq.log"
        wait_until 30 "RabbitMQ's process" "$LOG/rabbitmq.log" rabbitmq_is_there
    fi
    AMQP_PORT=$(port_of rabbitmq 56720)
    CAPI_AMQP_URL=amqp://guest:guest@127.0.0.1:$AMQP_PORT/%2f
    local node_log=$LOG/rabbitmq/capi-$AMQP_PORT@localhost.log
    if port_is_free "$AMQP_PORT"; then
        wait_until 90 "RabbitMQ" "$node_log" rabbit rabbitmqctl -q await_startup --timeout 10
    fi
    adopt_rabbitmq
    # What answers on the port may be somebody else's.
    alive rabbitmq || fail "RabbitMQ ended; was its port taken? Run it again" "$node_log"
}

# The node and its epmd detach; epmd outlives the node. Both are known by what their environment names.
adopt_rabbitmq() {
    if ! alive rabbitmq; then adopt rabbitmq beam.smp start_sasl "RABBITMQ_PID_FILE=$LOCAL/rabbitmq/pid"; fi
    if ! alive epmd; then adopt epmd epmd -daemon "RABBITMQ_PID_FILE=$LOCAL/rabbitmq/pid"; fi
}

rabbitmq_is_there() { adopt_rabbitmq && alive rabbitmq; }

stop_rabbitmq() {
    adopt_rabbitmq
    end rabbitmq
    end epmd
}
