#!/bin/bash
# with-packages.sh COMMAND…: installs the programs of PostgreSQL and RabbitMQ for COMMAND, which starts
# them, and prepares the sandbox of its workers.
. "$(dirname "$0")/common.sh"
for part in packages sandbox; do . "$HERE/$part.sh"; done

lock
install_packages
prepare_sandbox
exec 9>&-
trap - ERR
export CAPI_TEST_SANDBOX_PYTHON=$CAPI_SANDBOX_PYTHON
exec "$@"
