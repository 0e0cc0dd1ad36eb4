#!/bin/bash
# lint-containers.sh: docker-compose.yml against the Compose specification's schema, deploy/Dockerfile with hadolint.
. "$(dirname "$0")/common.sh"
for part in packages venv; do . "$HERE/$part.sh"; done

lock
python3 -m venv --help > /dev/null 2>&1 && python3 -m ensurepip --version > /dev/null 2>&1 || install_packages
ensure_venv container-linters "$HERE/container-linters.txt"
exec 9>&-
step "lint docker-compose.yml and deploy/Dockerfile"
"$LOCAL/container-linters/bin/check-jsonschema" --builtin-schema vendor.compose-spec "$ROOT/docker-compose.yml"
"$LOCAL/container-linters/bin/hadolint" "$ROOT/deploy/Dockerfile"
