#!/bin/bash
# with-test-services.sh COMMAND…: runs COMMAND with CAPI_TEST_DATABASE_URL and CAPI_TEST_AMQP_URL set to a PostgreSQL
# and a RabbitMQ: those of CAPI_DATABASE_URL and CAPI_AMQP_URL, those that run here already, or private ones that
# are stopped again at the end. Every test makes its own database and queues there.
. "$(dirname "$0")/common.sh"
for part in packages postgres rabbitmq; do . "$HERE/$part.sh"; done

lock
install_packages
STARTED=()
if [ -z "${CAPI_DATABASE_URL:-}" ]; then
    alive postgres || STARTED+=(postgres)
    start_postgres
fi
if [ -z "${CAPI_AMQP_URL:-}" ]; then
    alive rabbitmq || STARTED+=(rabbitmq)
    start_rabbitmq
fi
flock -u 9
finish() { for part in "${STARTED[@]}"; do stop_"$part"; done; }
trap finish EXIT
trap - ERR
set +e
CAPI_TEST_DATABASE_URL=$CAPI_DATABASE_URL CAPI_TEST_AMQP_URL=$CAPI_AMQP_URL "$@"
