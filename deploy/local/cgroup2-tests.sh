# Runs in the virtual machine of cgroup2.sh: the run-worker's tests of S1, S2, S5, S6 and H3, as root and as
# an ordinary user, each with a delegated group of cgroup v2. Without KVM it is too slow for the races of S4.
set -u
cp /mnt/it /mnt/sandbox-entry /var/tmp/
chmod 755 /var/tmp/it /var/tmp/sandbox-entry
export CAPI_LAB_ENTRY=/var/tmp/sandbox-entry CAPI_LAB_CGROUP2=1 RUST_BACKTRACE=0 NO_COLOR=1
CAPI_TEST_SANDBOX_PYTHON=$(cat /mnt/python)
export CAPI_TEST_SANDBOX_PYTHON
filters=(sandbox::basics sandbox::secrets sandbox::limits sandbox::groups sandbox::neighbours sandbox::layers)
filters+=(sandbox::memory sandbox::disk)

# as NAME UID: the group belongs to the user, as with Delegate=yes of systemd.
as() {
    local group=/sys/fs/cgroup/$1
    mkdir "$group"
    chown "$2:$2" "$group" "$group"/cgroup.{procs,subtree_control,threads}
    echo "=== as $1"
    # shellcheck disable=SC2016
    timeout 1500 bash -c 'echo $$ > "$0/cgroup.procs" && cd /var/tmp && exec "$@"' "$group" \
        setpriv --reuid "$2" --regid "$2" --clear-groups \
        /var/tmp/it "${filters[@]}" --test-threads 1 --color never --nocapture 2>&1
}

failed=0
if [ "$(cat /mnt/user)" != ordinary ]; then as root 0 || failed=1; fi
if [ "$(cat /mnt/user)" != root ]; then as ordinary 65532 || failed=1; fi
echo "=== failed: $failed"
exit $failed
