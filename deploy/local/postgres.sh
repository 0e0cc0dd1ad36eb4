# A private PostgreSQL: data under .local/, loopback only, a port of its own. PostgreSQL refuses to run as root, and
# a checkout below /root cannot be read by another user: as root it runs as "user 1000" of a namespace of its own.

pg_bin() {
    local newest
    newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -n 1)
    if [ -n "$newest" ]; then echo "$newest"; else dirname "$(command -v initdb)"; fi
}

as_postgres() {
    if [ "$(id -u)" = 0 ]; then unshare --user --map-user=1000 --map-group=1000 "$@"; else "$@"; fi
}

start_postgres() {
    PG_DATA=$LOCAL/postgres
    local bin version
    bin=$(pg_bin)
    version=$("$bin/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
    [ "$version" -ge 15 ] || fail "PostgreSQL $version is too old; 15 or newer is needed"
    PG_PORT=$(port_for postgres 54320)
    CAPI_DATABASE_URL="postgres://capi:$(cat "$LOCAL/postgres.password" 2>/dev/null || new_password)@127.0.0.1:$PG_PORT/capi?sslmode=disable"
    if alive postgres && pg_is_ready; then return; fi
    step "start PostgreSQL $version"
    if [ ! -f "$PG_DATA/.complete" ]; then
        rm -rf "$PG_DATA"
        as_postgres "$bin/initdb" --pgdata="$PG_DATA" --username=capi --pwfile="$LOCAL/postgres.password" \
            --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 > "$LOG/initdb.log" 2>&1 || fail initdb "$LOG/initdb.log"
        touch "$PG_DATA/.complete"
    fi
    if ! port_is_free "$PG_PORT"; then
        rm -f "$RUN/postgres.port"
        PG_PORT=$(port_for postgres $((PG_PORT + 1)))
        CAPI_DATABASE_URL=${CAPI_DATABASE_URL%@*}@127.0.0.1:$PG_PORT/capi?sslmode=disable
    fi
    as_postgres "$bin/pg_ctl" --pgdata="$PG_DATA" --log="$LOG/postgres.log" --wait --timeout=60 start \
        --options="-p $PG_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300" \
        > "$LOG/pg_ctl.log" 2>&1 9>&- || fail "PostgreSQL does not start" "$LOG/postgres.log"
    remember postgres "$(head -n 1 "$PG_DATA/postmaster.pid")"
    wait_until 30 "PostgreSQL" "$LOG/postgres.log" pg_is_ready
    on_postgres postgres -tAc "SELECT 1 FROM pg_database WHERE datname = 'capi'" | grep -q 1 ||
        on_postgres postgres -qc 'CREATE DATABASE capi'
}

# DATABASE ARGUMENT…
on_postgres() {
    local database=$1
    shift
    PGPASSWORD=$(cat "$LOCAL/postgres.password") "$(pg_bin)/psql" -X -h 127.0.0.1 -p "$PG_PORT" -U capi -d "$database" "$@"
}

pg_is_ready() { on_postgres postgres -tAc 'SELECT 1' > /dev/null; }

new_password() {
    (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$LOCAL/postgres.password")
    cat "$LOCAL/postgres.password"
}

stop_postgres() { # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
    if alive postgres; then
        kill -INT "$(pid_of postgres)" 2>/dev/null || true
        for _ in $(seq 100); do alive postgres || break; sleep 0.1; done
    fi
    end postgres
}
