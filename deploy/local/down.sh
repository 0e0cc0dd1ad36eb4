#!/bin/bash
# make down: stops what make up started, and nothing else.
. "$(dirname "$0")/common.sh"
for part in postgres rabbitmq; do . "$HERE/$part.sh"; done
lock
for name in gateway run-worker webhook-dispatcher model; do end $name; done
if flock -n -x "$RUN/test-users" true; then
    rm -f "$RUN/for-tests"
    stop_rabbitmq
    stop_postgres
else
    say "tests are running: the last of them stops PostgreSQL and RabbitMQ"
    printf 'postgres\nrabbitmq\n' > "$RUN/for-tests"
fi
say "all stopped; data stays under .local ('make clean' removes it)"
