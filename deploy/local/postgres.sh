# A private PostgreSQL: data under .local/, loopback only, a port of its own. PostgreSQL refuses to run as root, and
# a checkout below /root cannot be read by another user: as root it runs as "user 1000" of a namespace of its own.

PG_DATA=$LOCAL/postgres

pg_bin() {
    local newest
    newest=$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -t/ -k5 -n | tail -n 1 || true)
    dirname "${newest:-$(command -v initdb)}"
}

as_postgres() {
    if [ "$(id -u)" = 0 ]; then unshare --user --map-user=1000 --map-group=1000 "$@"; else "$@"; fi
}

start_postgres() {
    local bin version
    bin=$(pg_bin)
    version=$("$bin/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
    [ "$version" -ge 15 ] || fail "PostgreSQL $version is too old; 15 or newer is needed"
    adopt_postgres
    if ! alive postgres; then
        step "start PostgreSQL $version"
        make_cluster "$bin"
        forget_dead_postgres
        PG_PORT=$(free_port_for postgres 54320)
        as_postgres "$bin/pg_ctl" --pgdata="$PG_DATA" --log="$LOG/postgres.log" --wait --timeout=60 start \
            --options="-p $PG_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300" \
            > "$LOG/pg_ctl.log" 2>&1 9>&- || fail "PostgreSQL does not start" "$LOG/postgres.log"
        adopt_postgres
    fi
    PG_PORT=$(port_of postgres 54320)
    CAPI_DATABASE_URL="postgres://capi:$(cat "$LOCAL/postgres.password")@127.0.0.1:$PG_PORT/capi?sslmode=disable"
    wait_until 60 "PostgreSQL" "$LOG/postgres.log" pg_is_ready
    on_postgres postgres -tAc "SELECT 1 FROM pg_database WHERE datname = 'capi'" | grep -q 1 ||
        on_postgres postgres -qc 'CREATE DATABASE capi'
}

make_cluster() { # BIN
    if [ -f "$PG_DATA/.complete" ]; then return; fi
    rm -rf "$PG_DATA"
    (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$LOCAL/postgres.password")
    as_postgres "$1/initdb" --pgdata="$PG_DATA" --username=capi --pwfile="$LOCAL/postgres.password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 > "$LOG/initdb.log" 2>&1 || fail initdb "$LOG/initdb.log"
    touch "$PG_DATA/.complete"
}

# The server names itself in its data directory; the pid may belong to something else by now.
adopt_postgres() {
    local pid
    pid=$(head -n 1 "$PG_DATA/postmaster.pid" 2> /dev/null || true)
    if [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] && holds "/proc/$pid/cmdline" "$PG_DATA"; then
        remember postgres "$pid"
    fi
}

# A pid left by a crash may belong to another program by now, and PostgreSQL would take that for itself. A postgres that
# was not adopted may still run on this data: its pid stays, and PostgreSQL refuses to start beside it.
forget_dead_postgres() {
    local pid
    pid=$(head -n 1 "$PG_DATA/postmaster.pid" 2> /dev/null || true)
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2> /dev/null || true)" != postgres ]; then rm -f "$PG_DATA/postmaster.pid"; fi
}

# DATABASE ARGUMENT…
on_postgres() {
    local database=$1
    shift
    PGPASSWORD=$(cat "$LOCAL/postgres.password") "$(pg_bin)/psql" -X -h 127.0.0.1 -p "$PG_PORT" -U capi -d "$database" "$@"
}

pg_is_ready() { on_postgres postgres -tAc 'SELECT 1' > /dev/null; }

stop_postgres() { # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
    adopt_postgres
    if alive postgres; then
        kill -INT "$(pid_of postgres)" 2>/dev/null || true
        for _ in $(seq 100); do alive postgres || break; sleep 0.1; done
    fi
    end postgres
}
