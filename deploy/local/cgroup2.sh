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
# Held until the machine ends: it inherits the descriptor.
exec 8> "$VM/lock"
flock -n 8 || fail "another run uses $VM"
rm -f "$VM/console.log" "$VM/it" "$VM/sandbox-entry"
step "compile the tests"
cd "$ROOT"
cargo test --locked --workspace --test it --no-run --message-format=json > "$VM/build.json"
python3 - "$VM" << 'END'
import json, os, shutil, sys
for line in open(f"{sys.argv[1]}/build.json"):
    built = json.loads(line)
    name = built.get("target", {}).get("name")
    # `path+file:///…/run-worker#0.1.0`
    of_worker = built.get("package_id", "").split("#")[0].rsplit("/", 1)[-1] == "run-worker"
    if of_worker and name in ("it", "sandbox-entry") and built.get("executable"):
        shutil.copy(built["executable"], f"{sys.argv[1]}/{name}")
for name in ("it", "sandbox-entry"):
    if not os.path.exists(f"{sys.argv[1]}/{name}"):
        sys.exit(f"cargo built no {name} of run-worker")
END
echo "$CAPI_SANDBOX_PYTHON" > "$VM/python"
echo "${CAPI_CGROUP2_USER:-both}" > "$VM/user"
trap - ERR
exec bash "$HERE/vm.sh" "$VM" $LONGEST "$HERE/cgroup2-tests.sh"
