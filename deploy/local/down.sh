#!/bin/bash
# make down: stops what make up started, and nothing else. With --clean: removes its data too.
. "$(dirname "$0")/common.sh"
for part in postgres rabbitmq; do . "$HERE/$part.sh"; done
lock
for name in gateway run-worker webhook-dispatcher model; do end $name; done
if flock -n -x "$RUN/test-users" true; then
    rm -f "$RUN/for-tests"
    stop_rabbitmq
    stop_postgres
elif [ "${1:-}" = --clean ]; then
    fail "tests are running on this data; try again when they are done"
else
    say "tests are running: the last of them stops PostgreSQL and RabbitMQ"
    printf 'postgres\nrabbitmq\n' > "$RUN/for-tests"
    exit 0
fi
if [ "${1:-}" = --clean ]; then
    rm -rf "$LOCAL"
    say "all stopped, all data removed"
else
    say "all stopped; data stays under .local ('make clean' removes it)"
fi
