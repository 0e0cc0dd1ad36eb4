#!/bin/bash
# with-packages.sh COMMAND…: installs the programs of PostgreSQL and RabbitMQ for COMMAND, which starts them.
. "$(dirname "$0")/common.sh"
. "$HERE/packages.sh"

lock
install_packages
exec 9>&-
trap - ERR
exec "$@"
