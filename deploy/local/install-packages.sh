#!/bin/bash
# Installs Debian packages without starting a system service or making a default database cluster.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# Both files exist only during this installation.
policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.conf made=()
trap 'rm -f "${made[@]}"' EXIT
if [ ! -e $policy ]; then
    made+=($policy)
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
fi
if [ ! -e $cluster ]; then
    made+=($cluster)
    mkdir -p "$(dirname $cluster)"
    echo 'create_main_cluster = false' > $cluster
fi
apt-get update -q
apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
