#!/bin/bash
# prepare-tests.sh: installs what the tests need, and checks the container files with what it installed.
. "$(dirname "$0")/common.sh"
for part in packages sandbox venv node model; do . "$HERE/$part.sh"; done

lock
install_packages browser
prepare_sandbox
install_model
for tools in axe schemathesis container-linters standard-webhooks generated-client; do
    ensure_venv $tools "$HERE/$tools.txt"
done
ensure_node
ensure_npm standard-webhooks
ensure_npm generated-client
exec 9>&-
bash "$HERE/lint-containers.sh"
