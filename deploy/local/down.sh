#!/bin/bash
# make down: stops what make up started, and nothing else.
. "$(dirname "$0")/common.sh"
for part in postgres rabbitmq; do . "$HERE/$part.sh"; done
lock
for name in gateway run-worker webhook-dispatcher model; do end $name; done
rm -f "$RUN/for-tests"
stop_rabbitmq
stop_postgres
say "all stopped; data stays under .local ('make clean' removes it)"
