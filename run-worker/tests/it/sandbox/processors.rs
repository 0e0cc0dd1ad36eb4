//! S2: what commands take of the processors, where the worker can make groups for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use run_worker::sandbox::{Ended, Health, Interpreter};
use rustix::thread::{CpuSet, sched_setaffinity};
use shared::testing::eventually;

use super::Lab;

/// None where it cannot; that a worker which is root can is what `basics` shows.
async fn lab() -> Option<Lab> {
    let lab = Lab::open().await;
    let cannot = matches!(lab.sandbox.health(), Health::Degraded(missing) if missing.contains(&"cpu_cgroup"));
    (!cannot).then_some(lab)
}

/// The group of the process of this name.
fn group_of(name: &str) -> Option<PathBuf> {
    let mut processes = std::fs::read_dir("/proc").ok()?.flatten().map(|process| process.path());
    let named = |process: &PathBuf| {
        std::fs::read(process.join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).next() == Some(name.as_bytes()))
    };
    let groups = std::fs::read_to_string(processes.find(named)?.join("cgroup")).ok()?;
    let group = groups
        .lines()
        .find_map(|line| line.split_once(":/").filter(|(_, path)| path.contains("capi-sandbox-")))?;
    let mounted = if group.0.ends_with(':') { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/cpu" };
    Some(PathBuf::from(mounted).join(group.1))
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_each_command_has_an_idle_group_which_ends_with_it() {
    let Some(lab) = lab().await else { return };
    let (one, other) = (lab.workspace(), lab.workspace());
    let script = |name: &str| format!("exec -a {name} bash -c 'while [ ! -e stop ]; do sleep 0.05; done'");
    let (left, right) = (script("group-of-one"), script("group-of-other"));
    let running = async { tokio::join!(lab.bash(&one, 30, &left), lab.bash(&other, 30, &right)) };
    let looking = async {
        let groups = eventually("both are in a group", async || {
            Some((group_of("group-of-one")?, group_of("group-of-other")?))
        });
        let groups = groups.await;
        for group in [&groups.0, &groups.1] {
            assert_eq!(std::fs::read_to_string(group.join("cpu.idle")).unwrap(), "1\n");
        }
        for workspace in [&one, &other] {
            std::fs::write(workspace.mounts().workspace.join("stop"), "").unwrap();
        }
        groups
    };
    let ((left, right), (first, second)) = tokio::join!(running, looking);
    assert_eq!((left.ended, right.ended), (Ended::Exited(0), Ended::Exited(0)));
    assert_ne!(first, second);
    assert!(!first.exists() && !second.exists(), "nothing is left");
}

/// Also those that were there before it had a group, that nobody waits for, and that come while others are taken in.
#[tokio::test(flavor = "multi_thread")]
async fn s2_all_processes_of_a_command_are_in_its_group() {
    let Some(lab) = lab().await else { return };
    let workspace = lab.workspace();
    let script = "(exec -a group-of-orphan sleep 100 &) ; sleep 0 & exec -a group-of-parent bash -c '
        for n in $(seq 40); do exec -a group-of-child-$n sleep 100 & sleep 0.01; done; while :; do sleep 1; done'";
    let running = lab.run(Lab::job(&workspace, Interpreter::Bash, script));
    let all = ["group-of-orphan", "group-of-parent", "group-of-child-1", "group-of-child-40"];
    let looking = eventually("all are in one group", async || {
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

#[tokio::test(flavor = "multi_thread")]
async fn s2_a_command_takes_the_time_of_one_processor() {
    let Some(lab) = lab().await else { return };
    let workspace = lab.workspace();
    let script = "for _ in 1 2 3 4; do (while :; do :; done) & done; sleep 2; kill $(jobs -p); wait; times > used; tail -n 1 used";
    let execution = lab.bash(&workspace, 30, script).await;
    let printed = execution.printed.shown("");
    let times = printed.split_whitespace().next().and_then(|user| user.strip_suffix('s')?.split_once('m'));
    let (minutes, seconds) = times.unwrap();
    let used: f64 = minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap();
    let took = execution.took.as_secs_f64();
    assert!(used > 0.0 && used < took + 0.5, "{used} s of {took} s: {printed}");
}

/// A thread that wants one processor for itself; until it is dropped.
struct Greedy(Arc<AtomicBool>);

impl Greedy {
    fn start(processor: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let (tell, begun) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut set = CpuSet::new();
            set.set(processor);
            tell.send(sched_setaffinity(None, &set)).unwrap();
            while !seen.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        begun.recv().unwrap().unwrap();
        Self(over)
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// In an idle group it would take minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_goes_on_where_others_want_every_processor() {
    let Some(lab) = lab().await else { return };
    let _greedy = Greedy::start(0);
    let workspace = lab.workspace();
    let script = "set -e; taskset -pc 0 $$ > /dev/null; for ((n = 0; n < 300000; n++)); do :; done; echo $n";
    let execution = lab.bash(&workspace, 45, script).await;
    assert_eq!((execution.ended, execution.printed.shown("")), (Ended::Exited(0), "300000\n".to_owned()));
}

/// Its first thread sleeps meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_threads_goes_on_too() {
    let Some(lab) = lab().await.filter(|lab| lab.sandbox.has_python()) else { return };
    let _greedy = Greedy::start(0);
    let script = "import os, threading\nos.sched_setaffinity(0, [0])\n\
                  thread = threading.Thread(target=lambda: sum(range(20_000_000)))\nthread.start()\nthread.join()\nprint('done')";
    assert_eq!(lab.printed(Interpreter::Python, script).await, "done\n");
}
