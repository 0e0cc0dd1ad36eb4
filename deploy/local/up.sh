#!/bin/bash
# make up: set up all, start all, run the main job.
. "$(dirname "$0")/common.sh"
for part in packages postgres rabbitmq sandbox model services account main-job; do . "$HERE/$part.sh"; done

lock
# What tests started stays from now on.
rm -f "$RUN/for-tests"
install_packages
build_services
prepare_sandbox
if [ -z "${CAPI_DATABASE_URL:-}" ]; then start_postgres; fi
if [ -z "${CAPI_AMQP_URL:-}" ]; then start_rabbitmq; fi
if [ -n "${CAPI_MODELS:-}" ]; then MODELS_FILE=$(realpath "$CAPI_MODELS"); else start_model; fi
start_services
ensure_account
main_job
say "capi is up at $CAPI_URL (in a browser: $LOCAL_EMAIL, password in .local/password); your settings are in .local/env; 'make status' lists what runs, 'make down' stops it"
