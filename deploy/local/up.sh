#!/bin/bash
# make up: installs, compiles and starts everything, then runs the main job.
. "$(dirname "$0")/common.sh"
for part in packages postgres rabbitmq sandbox model samples services account main-job; do
    . "$HERE/$part.sh"
done

lock
# Services that tests started now belong to `make up`, so the tests do not stop them.
rm -f "$RUN/for-tests"
allow_sudo
start_build
install_packages
prepare_sandbox
if [ -z "${CAPI_DATABASE_URL:-}" ]; then start_postgres; fi
if [ -z "${CAPI_AMQP_URL:-}" ]; then start_rabbitmq; fi
if [ -n "${CAPI_MODELS:-}" ]; then
    MODELS_FILE=$(realpath "$CAPI_MODELS")
    [ -f "$MODELS_FILE" ] || fail "CAPI_MODELS names a file that does not exist: $CAPI_MODELS"
else
    install_model
    start_model
fi
if [ -n "${CAPI_SEARCH:-}" ]; then
    SEARCH_FILE=$(realpath "$CAPI_SEARCH")
    [ -f "$SEARCH_FILE" ] || fail "CAPI_SEARCH names a file that does not exist: $CAPI_SEARCH"
else
    start_samples
fi
wait_for_build
start_services
ensure_account
main_job
say "capi is up at $CAPI_URL after $SECONDS s
    console: sign in as $LOCAL_EMAIL with the password in .local/password
    API: .local/env has the key and the ids
    'make status' lists the processes, 'make down' stops them"
