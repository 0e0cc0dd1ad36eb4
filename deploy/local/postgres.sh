# A private PostgreSQL: its data is in .local, it listens on loopback only, on a port of its own.
# PostgreSQL refuses to run as root, and another user cannot read a checkout below /root. So root starts it as
# "user 1000" of a new user namespace.

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
    [ "$version" -ge 15 ] || fail "PostgreSQL $version is too old; install 15 or newer"
    adopt_postgres
    if ! alive postgres; then
        step "start PostgreSQL $version"
        make_cluster "$bin"
        remove_stale_pid_file
        PG_PORT=$(free_port_for postgres 54320)
        local options="-p $PG_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        as_postgres "$bin/pg_ctl" --pgdata="$PG_DATA" --log="$LOG/postgres.log" --wait --timeout=60 start \
            --options="$options -c max_connections=300" > "$LOG/pg_ctl.log" 2>&1 9>&- ||
            fail "PostgreSQL did not start" "$LOG/postgres.log"
        adopt_postgres
    fi
    PG_PORT=$(port_of postgres 54320)
    local password
    password=$(cat "$LOCAL/postgres.password")
    CAPI_DATABASE_URL="postgres://capi:$password@127.0.0.1:$PG_PORT/capi?sslmode=disable"
    wait_until 60 "PostgreSQL" "$LOG/postgres.log" pg_is_ready
    on_postgres postgres -tAc "SELECT 1 FROM pg_database WHERE datname = 'capi'" | grep -q 1 ||
        on_postgres postgres -qc 'CREATE DATABASE capi'
}

make_cluster() { # BIN
    if [ -f "$PG_DATA/.complete" ]; then return; fi
    local password=$LOCAL/postgres.password
    rm -rf "$PG_DATA"
    (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$password")
    as_postgres "$1/initdb" --pgdata="$PG_DATA" --username=capi --pwfile="$password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 > "$LOG/initdb.log" 2>&1 ||
        fail initdb "$LOG/initdb.log"
    touch "$PG_DATA/.complete"
}

# The pid comes from the data directory. The kernel may have given it to another program since.
adopt_postgres() {
    local pid
    pid=$(head -n 1 "$PG_DATA/postmaster.pid" 2> /dev/null || true)
    if [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] && holds "/proc/$pid/cmdline" "$PG_DATA"; then
        remember postgres "$pid"
    fi
}

# After a crash the pid in the file may belong to another program, and PostgreSQL would then refuse to start.
# A file that names a running postgres stays, so that no second one starts on the same data.
remove_stale_pid_file() {
    local pid program
    pid=$(head -n 1 "$PG_DATA/postmaster.pid" 2> /dev/null || true)
    program=$(cat "/proc/$pid/comm" 2> /dev/null || true)
    if [ -n "$pid" ] && [ "$program" != postgres ]; then rm -f "$PG_DATA/postmaster.pid"; fi
}

on_postgres() { # DATABASE PSQL-ARGUMENT…
    local database=$1
    shift
    PGPASSWORD=$(cat "$LOCAL/postgres.password") \
        "$(pg_bin)/psql" -X -h 127.0.0.1 -p "$PG_PORT" -U capi -d "$database" "$@"
}

pg_is_ready() { on_postgres postgres -tAc 'SELECT 1' > /dev/null; }

stop_postgres() { # SIGINT is PostgreSQL's fast shutdown, which does not wait for clients.
    adopt_postgres
    if alive postgres; then
        kill -INT "$(pid_of postgres)" 2>/dev/null || true
        for _ in $(seq 100); do alive postgres || break; sleep 0.1; done
    fi
    end postgres
}
