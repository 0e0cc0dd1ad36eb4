//! S5: two runs see nothing of each other, and no program becomes another user.

use std::time::Duration;

use run_worker::sandbox::{EndReason, Interpreter};

use super::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn s5_two_runs_see_nothing_of_each_other() {
    let lab = Lab::open().await;
    let (left, right) = (lab.workspace(), lab.workspace());
    let leaves = "echo left-mark | tee here /tmp/t /dev/shm/s > /dev/null; exec -a left-mark sleep 3";
    let looks = "sleep 1; ls -AR /workspace /tmp /dev/shm; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; \
                 grep -rs left-mark /workspace /tmp/[!m]* /dev/shm; kill -9 -1; ls /proc | grep -c '^[0-9]'";
    let (left, right) = tokio::join!(lab.bash(&left, 300, leaves), lab.bash(&right, 300, looks));
    assert_eq!(
        (left.end, right.end),
        (EndReason::Exited(0), EndReason::Exited(0)),
        "one run cannot kill processes of another"
    );
    let seen = right.output.shown("").replace(looks, "");
    assert!(!seen.contains("left-mark") && !seen.contains("/t\n"), "{seen}");
    assert!(left.took > Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_nested_namespaces_and_setuid_give_nothing() {
    let lab = Lab::open().await;
    let script = r"
unshare --user --map-root-user true 2>/dev/null && echo GOT namespaces
unshare --net true 2>/dev/null && echo GOT network
mount -t tmpfs none /tmp 2>/dev/null && echo GOT mount
bwrap --ro-bind / / --unshare-all true 2>/dev/null && echo GOT bwrap
su -c id 2>/dev/null < /dev/null && echo GOT su
cp /usr/bin/id own; chmod u+s own; ./own -u
chown 0 own 2>/dev/null && echo GOT chown
hostname elsewhere 2>/dev/null; [ $(uname -n) = sandbox ] || echo GOT hostname
python3 -c 'import os; os.setuid(0)' 2>/dev/null && echo GOT root
grep -c '^CapEff:.*[1-9a-f]' /proc/self/status
echo x > /proc/sys/kernel/hostname && echo GOT sysctl
echo x > /proc/sysrq-trigger && echo GOT sysrq
cat /proc/kcore > /dev/null && echo GOT kcore
dmesg > /dev/null 2>&1 && echo GOT dmesg
true";
    let seen = lab.printed(Interpreter::Bash, script).await;
    assert!(!seen.contains("GOT") && seen.contains("1000\n0\n"), "{seen}");
}
