#!/bin/bash
# cgroup2.sh: runs the run-worker's tests of the sandbox in a virtual machine whose kernel has cgroup v2 only.
# Ends with their status. .local/vm/console.log keeps what they print.
. "$(dirname "$0")/common.sh"
for part in packages sandbox; do . "$HERE/$part.sh"; done

# Without KVM, each of both passes takes a quarter of an hour.
LONGEST=3600
VM=$LOCAL/vm

lock
install_packages machine
prepare_sandbox
exec 9>&-
mkdir -p "$VM"
step "compile the tests"
cd "$ROOT"
cargo test --locked --workspace --test it --no-run --message-format=json > "$VM/build.json"
python3 - "$VM" << 'END'
import json, shutil, sys
for line in open(f"{sys.argv[1]}/build.json"):
    built = json.loads(line)
    name = built.get("target", {}).get("name")
    of_worker = "run-worker" in built.get("package_id", "")
    if of_worker and name in ("it", "sandbox-entry") and built.get("executable"):
        shutil.copy(built["executable"], f"{sys.argv[1]}/{name}")
END
echo "$CAPI_SANDBOX_PYTHON" > "$VM/python"
echo "${CAPI_CGROUP2_USER:-both}" > "$VM/user"
trap - ERR
exec bash "$HERE/vm.sh" "$VM" $LONGEST "$HERE/cgroup2-tests.sh"
