# Runs in the virtual machine of cgroup2.sh: the run-worker's tests of S1, S2, S5, S6 and H3, as root and as
# an ordinary user, each with a delegated group of cgroup v2. Without KVM it is too slow for the races of S4.
set -u
cp /mnt/it /mnt/sandbox-entry /var/tmp/
chmod 755 /var/tmp/it /var/tmp/sandbox-entry
export CAPI_LAB_ENTRY=/var/tmp/sandbox-entry CAPI_LAB_QUIET=1 RUST_BACKTRACE=0 NO_COLOR=1
CAPI_TEST_SANDBOX_PYTHON=$(cat /mnt/python)
export CAPI_TEST_SANDBOX_PYTHON
bounds=(sandbox::memory sandbox::disk)
others=(sandbox::basics sandbox::secrets sandbox::limits sandbox::groups sandbox::neighbours sandbox::layers)

# as NAME UID: the group belongs to the user, as with Delegate=yes of systemd.
as() {
    local group=/sys/fs/cgroup/$1
    mkdir "$group"
    chown "$2:$2" "$group" "$group"/cgroup.{procs,subtree_control,threads}
    echo "=== as $1"
    # shellcheck disable=SC2016
    CAPI_LAB_CGROUP2=1 timeout 1500 bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" \
        setpriv --reuid "$2" --regid "$2" --clear-groups \
        /var/tmp/it "${bounds[@]}" "${others[@]}" --test-threads 1 --color never --nocapture 2>&1
}

# Without a group: the bounds that the worker applies by itself.
without_group() {
    echo "=== as ordinary, without a group"
    timeout 900 setpriv --reuid 65532 --regid 65532 --clear-groups \
        /var/tmp/it "${bounds[@]}" --test-threads 1 --color never --nocapture 2>&1
}

cd /var/tmp || exit 1

failed=0
if [ "$(cat /mnt/user)" != ordinary ]; then as root 0 || failed=1; fi
if [ "$(cat /mnt/user)" != root ]; then
    as ordinary 65532 || failed=1
    without_group || failed=1
fi
echo "=== failed: $failed"
exit $failed
