#!/bin/bash
# with-node.sh COMMAND…: runs COMMAND with CAPI_NODE, the path of Node.js, and with the libraries of Standard
# Webhooks: CAPI_STANDARD_WEBHOOKS_PYTHON (a Python that has one) and CAPI_STANDARD_WEBHOOKS_NODE (a folder
# with node_modules). CAPI_CLIENT_TOOLS_PYTHON and CAPI_CLIENT_TOOLS_NODE are the same for generators of API
# clients.
. "$(dirname "$0")/common.sh"
for part in packages venv node; do . "$HERE/$part.sh"; done

lock
install_packages
ensure_node
ensure_npm standard-webhooks
ensure_npm generated-client
for tools in standard-webhooks generated-client; do ensure_venv $tools "$HERE/$tools.txt"; done
exec 9>&-
export CAPI_NODE=$NODE CAPI_STANDARD_WEBHOOKS_NODE=$LOCAL/npm/standard-webhooks
export CAPI_CLIENT_TOOLS_NODE=$LOCAL/npm/generated-client
export CAPI_CLIENT_TOOLS_PYTHON=$LOCAL/generated-client/bin/python
CAPI_STANDARD_WEBHOOKS_PYTHON=$LOCAL/standard-webhooks/bin/python exec "$@"
