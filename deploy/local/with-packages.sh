#!/bin/bash
# with-packages.sh COMMAND…: runs COMMAND when the programs of PostgreSQL and RabbitMQ are installed; it starts its own.
. "$(dirname "$0")/common.sh"
. "$HERE/packages.sh"

lock
install_packages
exec 9>&-
trap - ERR
exec "$@"
