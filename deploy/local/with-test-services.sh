#!/bin/bash
# with-test-services.sh COMMAND…: runs COMMAND with CAPI_TEST_DATABASE_URL, CAPI_TEST_AMQP_URL,
# CAPI_TEST_SANDBOX_PYTHON, CAPI_TEST_MODEL_PYTHON and CAPI_TEST_MODEL_WEIGHTS. PostgreSQL and RabbitMQ are
# those of CAPI_DATABASE_URL and CAPI_AMQP_URL, or those that run in this tree already, or new ones that are
# stopped at the end. Each test makes its own database and its own queues there. A test that needs the local
# model starts a server of its own.
. "$(dirname "$0")/common.sh"
for part in packages postgres rabbitmq sandbox model; do . "$HERE/$part.sh"; done

# Lists the services that only tests use. `make up` removes the list, so the services keep running.
FOR_TESTS=$RUN/for-tests

start_for_tests() { # PART
    "adopt_$1"
    alive "$1" || echo "$1" >> "$FOR_TESTS"
    "start_$1"
}

# Every COMMAND holds a shared lock. The last one gets the exclusive lock and stops the services.
finish() {
    local part
    trap - ERR
    lock
    exec 8>&-
    if [ -s "$FOR_TESTS" ] && flock -n -x "$RUN/test-users" true; then
        for part in $(sort -u "$FOR_TESTS"); do "stop_$part"; done
        rm -f "$FOR_TESTS"
    fi
}

lock
exec 8> "$RUN/test-users"
flock -s 8
trap finish EXIT
install_packages browser
prepare_sandbox
install_model
if [ -z "${CAPI_DATABASE_URL:-}" ]; then start_for_tests postgres 8>&-; fi
if [ -z "${CAPI_AMQP_URL:-}" ]; then start_for_tests rabbitmq 8>&-; fi
exec 9>&-
trap - ERR
set +e
export CAPI_TEST_DATABASE_URL=$CAPI_DATABASE_URL CAPI_TEST_AMQP_URL=$CAPI_AMQP_URL
export CAPI_TEST_SANDBOX_PYTHON=$CAPI_SANDBOX_PYTHON
export CAPI_TEST_MODEL_PYTHON=$MODEL/venv/bin/python CAPI_TEST_MODEL_WEIGHTS=$WEIGHTS
"$@" 8>&-
