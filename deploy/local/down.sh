#!/bin/bash
# make down: stops what `make up` started, and nothing else. With --clean it also removes the data.
. "$(dirname "$0")/common.sh"
for part in postgres rabbitmq; do . "$HERE/$part.sh"; done
lock
for name in gateway run-worker webhook-dispatcher model pages; do end $name; done
if flock -n -x "$RUN/test-users" true; then
    rm -f "$RUN/for-tests"
    stop_rabbitmq
    stop_postgres
elif [ "${1:-}" = --clean ]; then
    fail "tests use this data; try again when they have ended"
else
    say "PostgreSQL and RabbitMQ run until the last test ends, which stops them"
    printf 'postgres\nrabbitmq\n' > "$RUN/for-tests"
    exit 0
fi
if [ "${1:-}" = --clean ]; then
    rm -rf "$LOCAL"
    say "stopped all services and removed all data"
else
    say "stopped all services; their data stays in .local ('make clean' removes it)"
fi
