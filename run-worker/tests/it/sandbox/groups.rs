//! S2: commands are nice, and each has a cgroup of its own where cgroup v2 is delegated to the worker.

use std::path::PathBuf;

use run_worker::sandbox::{EndReason, Interpreter};
use shared::testing::eventually;

use super::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn s2_commands_are_nice() {
    let lab = Lab::open().await;
    assert_eq!(lab.printed(Interpreter::Bash, "nice").await, "15\n");
}

/// A lab, and whether the controller cpu is delegated too. None where cgroup v2 is not delegated to the
/// tests.
async fn lab_with_cgroups() -> Option<(Lab, bool)> {
    let lab = Lab::open().await;
    if lab.lacks("cgroup") {
        eprintln!("skipped: cgroup v2 is not delegated to the tests");
        return None;
    }
    let has_cpu = !lab.lacks("cpu_cgroup");
    Some((lab, has_cpu))
}

/// The cgroup of the process with this name, if it is one of a command.
fn group_of(name: &str) -> Option<PathBuf> {
    let mut processes = std::fs::read_dir("/proc").ok()?.flatten().map(|process| process.path());
    let named = |process: &PathBuf| {
        std::fs::read(process.join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).next() == Some(name.as_bytes()))
    };
    let groups = std::fs::read_to_string(processes.find(named)?.join("cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    path.contains("capi-sandbox-").then(|| PathBuf::from("/sys/fs/cgroup").join(path))
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_each_command_has_a_group_with_limits_that_ends_with_it() {
    let Some((lab, has_cpu)) = lab_with_cgroups().await else { return };
    let (one, other) = (lab.workspace(), lab.workspace());
    let script = |name: &str| format!("exec -a {name} bash -c 'while [ ! -e stop ]; do sleep 0.05; done'");
    let (left, right) = (script("group-of-one"), script("group-of-other"));
    let running = async { tokio::join!(lab.bash(&one, 30, &left), lab.bash(&other, 30, &right)) };
    let looking = async {
        let groups = eventually("both commands run in a group", async || {
            Some((group_of("group-of-one")?, group_of("group-of-other")?))
        });
        let groups = groups.await;
        for group in [&groups.0, &groups.1] {
            let read = |file: &str| std::fs::read_to_string(group.join(file)).unwrap();
            assert_eq!((read("memory.max"), read("pids.max")), ("1073741824\n".into(), "64\n".into()));
            assert!(!has_cpu || read("cpu.weight") == "1\n");
        }
        for workspace in [&one, &other] {
            std::fs::write(workspace.mounts().workspace.join("stop"), "").unwrap();
        }
        groups
    };
    let ((left, right), (first, second)) = tokio::join!(running, looking);
    assert_eq!((left.end, right.end), (EndReason::Exited(0), EndReason::Exited(0)));
    assert_ne!(first, second);
    assert!(!first.exists() && !second.exists(), "nothing is left");
}

/// Also orphans, and children of children.
#[tokio::test(flavor = "multi_thread")]
async fn s2_all_processes_of_a_command_are_in_its_group() {
    let Some((lab, _)) = lab_with_cgroups().await else { return };
    let workspace = lab.workspace();
    let script = "(exec -a group-of-orphan sleep 100 &) ; sleep 0 & exec -a group-of-parent bash -c '
        for n in $(seq 40); do exec -a group-of-child-$n sleep 100 & sleep 0.01; done
        while :; do sleep 1; done'";
    let running = lab.run(Lab::job(&workspace, Interpreter::Bash, script));
    let all = ["group-of-orphan", "group-of-parent", "group-of-child-1", "group-of-child-40"];
    let looking = eventually("all processes are in one group", async || {
        let groups: Option<Vec<_>> = all.iter().map(|name| group_of(name)).collect();
        groups.filter(|groups| groups.windows(2).all(|pair| pair[0] == pair[1]))
    });
    tokio::select! {
        _ = running => panic!("it does not end by itself"),
        _ = looking => {}
    }
    lab.tasks.close();
    lab.tasks.wait().await;
}
