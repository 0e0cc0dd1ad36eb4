//! S2: commands are nice, and each has a cgroup of its own where cgroup v2 is delegated to the worker.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use run_worker::sandbox::{EndReason, Interpreter, Job};
use shared::testing::eventually;

use super::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn s2_commands_are_nice_and_the_first_that_the_kernel_ends_without_memory() {
    let lab = Lab::open().await;
    let script = "nice; cat /proc/self/oom_score_adj; echo 0 2>&- > /proc/self/oom_score_adj || echo refused";
    assert_eq!(lab.printed(Interpreter::Bash, script).await, "15\n1000\nrefused\n");
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

/// Turns of a measurement: alone, then beside the commands.
const TURNS: usize = 4;
const SAMPLES: usize = 40;
/// The bar is 1.2. This test only finds a weight that has no effect: the machine's other load counts too.
const SLOWER: f64 = 4.0;

/// How long some work takes that begins after a wait, as in a service.
async fn work() -> Duration {
    tokio::time::sleep(Duration::from_millis(5)).await;
    let begun = Instant::now();
    let mut sum = 1_u64;
    for number in 0..200_000_u64 {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(number));
    }
    begun.elapsed()
}

fn p95(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() * 95 / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_the_worker_is_preferred_to_greedy_commands() {
    let Some((lab, true)) = lab_with_cgroups().await else { return };
    for (name, script) in [
        ("60 busy loops", "for _ in $(seq 60); do (while :; do :; done) & done; wait"),
        ("60 sessions", "for _ in $(seq 60); do setsid bash -c 'while :; do :; done' & done; wait"),
        ("a disk filler", "while :; do head -c 10M /dev/zero > a; rm a; done"),
    ] {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            for _ in 0..SAMPLES {
                alone.push(work().await);
            }
            let workspace = lab.workspace();
            let job = Job { time: Duration::from_mins(1), ..Lab::job(&workspace, Interpreter::Bash, script) };
            let measuring = async {
                // The command reaches its full load.
                tokio::time::sleep(Duration::from_millis(1500)).await;
                for _ in 0..SAMPLES {
                    beside.push(work().await);
                }
            };
            tokio::select! {
                ended = lab.run(job) => panic!("{name} had ended before: {ended:?}"),
                () = measuring => {}
            }
        }
        let (alone, beside) = (p95(alone), p95(beside));
        let slower = beside.as_secs_f64() / alone.as_secs_f64();
        eprintln!("p95 beside {name}: {beside:.1?}, alone {alone:.1?} ({slower:.2} times)");
        assert!(slower < SLOWER, "{name}: {slower:.2} times");
    }
    lab.tasks.close();
    lab.tasks.wait().await;
}
