# Runs in the virtual machine of cgroup2.sh: the run-worker's tests of the sandbox, as root and as an ordinary
# user, each with a delegated group of cgroup v2.
set -u
FILTERS=(sandbox:: --skip ordinary_user)
cp /mnt/it /mnt/sandbox-entry /var/tmp/
chmod 755 /var/tmp/it /var/tmp/sandbox-entry
export CAPI_LAB_ENTRY=/var/tmp/sandbox-entry CAPI_LAB_CGROUP2=1 RUST_BACKTRACE=0
export CAPI_TEST_SANDBOX_PYTHON=$(cat /mnt/python)

# as NAME USER: the group belongs to the user, as systemd's Delegate=yes does it.
as() {
    local group=/sys/fs/cgroup/$1
    mkdir "$group"
    chown "$2:$2" "$group" "$group"/cgroup.{procs,subtree_control,threads}
    echo "=== as $1"
    timeout 1200 bash -c 'echo $$ > "$0/cgroup.procs" && cd /var/tmp && exec "$@"' "$group" \
        setpriv --reuid "$2" --regid "$2" --clear-groups /var/tmp/it "${FILTERS[@]}" --test-threads 1 2>&1
}

failed=0
as root 0 || failed=1
as ordinary 65532 || failed=1
echo "=== failed: $failed"
exit $failed
