//! S2: a program that uses too much is ended in time, and no other with it.

use std::time::{Duration, Instant};

use run_worker::sandbox::{EndReason, Interpreter, Job};
use run_worker::workspace::QuotaExceeded;
use shared::testing::WAIT_LIMIT;

use super::{Lab, QUOTA, processes};

/// The longest time between a limit and the end of the command, on a busy machine. `make drill` applies the
/// bar.
const IN_TIME: Duration = WAIT_LIMIT;

#[tokio::test(flavor = "multi_thread")]
async fn s2_endless_programs_are_ended() {
    let lab = Lab::open().await;
    for script in [
        "sleep 1000",
        "trap '' TERM INT HUP; while :; do sleep 1000; done",
        ":(){ :|:& };:; sleep 1000",
        "exec >&- 2>&-; sleep 1000",
        "for _ in $(seq 60); do (while :; do :; done) & done; wait",
    ] {
        let (workspace, begun) = (lab.workspace(), Instant::now());
        let execution = lab.bash(&workspace, 2, script).await;
        assert_eq!(execution.end, EndReason::TimedOut(Duration::from_secs(2)), "{script}");
        assert!(begun.elapsed() < IN_TIME + Duration::from_secs(2), "{script}: {:?}", begun.elapsed());
        workspace.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_background_processes_end_with_the_command() {
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    let script = "(setsid nohup sleep 1000 &)
                  (trap '' HUP TERM; setsid sleep 1000 < /dev/null > /dev/null 2>&1 &)
                  echo done";
    let execution = lab.bash(&workspace, 300, script).await;
    assert_eq!((execution.end, execution.output.shown("")), (EndReason::Exited(0), "done\n".to_owned()));
    let busy = "(while :; do echo x > f.$RANDOM; rm -f f.*; done) > /dev/null 2>&1 &
                sleep 0.1; chmod 0 /workspace; exit 4";
    assert_eq!(lab.bash(&workspace, 300, busy).await.end, EndReason::Exited(4));
    let left = workspace.measure().unwrap();
    assert_eq!(
        lab.bash(&workspace, 300, "pwd").await.end,
        EndReason::Exited(0),
        "the workspace can be used again"
    );
    assert_eq!(workspace.measure().unwrap(), left, "no process changes it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_memory_is_limited_for_one_process_and_for_all_together() {
    let lab = Lab::open().await;
    let one = lab
        .printed(Interpreter::Python, "try:\n  bytearray(4 << 30)\nexcept MemoryError:\n  print('refused')")
        .await;
    assert_eq!(one, "refused\n");
    // Neither a name that is not UTF-8 nor an ended first thread may hide a process.
    let hold = "def hold():\n  time.sleep(1)\n  held = bytearray(200 << 20)\n  time.sleep(100)\n";
    let named = "ctypes.CDLL(None).prctl(15, b'a\\xff) S'); hold()";
    let headless = "threading.Thread(target=hold).start()
    ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)";
    for child in [named, headless] {
        let workspace = lab.workspace();
        let script = format!(
            "import ctypes, os, threading, time
{hold}for _ in range(12):
  if os.fork() == 0:
    {child}
time.sleep(100)"
        );
        let execution = lab.run(Lab::job(&workspace, Interpreter::Python, &script)).await;
        assert_eq!(execution.end, EndReason::MemoryLimit(1 << 30), "{child}");
        assert!(processes(&workspace).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_disks_are_not_filled() {
    let lab = Lab::open().await;
    let full = |most| EndReason::Quota(QuotaExceeded::Bytes(most));
    for (script, ended) in [
        (
            "for n in 1 2 3; do eval \"exec $((n + 4))> x\"; rm x; head -c 15M /dev/zero >&$((n + 4)); done
             sleep 1000",
            full(QUOTA.bytes),
        ),
        (
            "mkdir d; cd d; chmod 0 /workspace
             head -c 15M /dev/zero > a; head -c 15M /dev/zero > b; sleep 1000",
            full(QUOTA.bytes),
        ),
        ("head -c 100M /dev/zero > a; sleep 1000", full(QUOTA.bytes)),
        ("head -c 15M /dev/zero > a; head -c 15M /dev/zero > b; sleep 1000", full(QUOTA.bytes)),
        (
            "for n in $(seq 3000); do : > f$n; done; sleep 1000",
            EndReason::Quota(QuotaExceeded::Entries(2000)),
        ),
        (
            "for n in $(seq 50); do mkdir d; cd d; done; sleep 1000",
            EndReason::Quota(QuotaExceeded::Depth(20)),
        ),
        (
            "mkdir d; cd d; head -c 15M /dev/zero > a
             chmod 0 ../d; head -c 15M /dev/zero > b; sleep 1000",
            full(QUOTA.bytes),
        ),
    ] {
        let workspace = lab.workspace();
        // A program that took away its own rights cannot write more. Its time ends it.
        let takes_rights_away = script.contains("chmod");
        let execution = lab.bash(&workspace, if takes_rights_away { 30 } else { 300 }, script).await;
        let out_of_time = matches!(execution.end, EndReason::TimedOut(_)) && takes_rights_away;
        assert!(execution.end == ended || out_of_time, "{script}: {execution:?}");
        workspace.close().await;
    }
    let workspace = lab.workspace();
    let script = "cd /tmp; for n in 1 2 3 4 5; do head -c 15M /dev/zero > t$n; done
                  cd /dev/shm; for n in 1 2; do head -c 15M /dev/zero > s$n; done
                  head -c 100M /dev/zero > /tmp/t1; true > /dev/x; true > /x; echo end";
    let execution = lab.bash(&workspace, 300, script).await;
    let said = execution.output.shown("");
    assert_eq!(execution.end, EndReason::Exited(0), "{said}");
    for (what, times) in [("No space left on device", 2), ("Read-only file system", 2), ("end", 1)] {
        assert!(said.matches(what).count() >= times, "{what}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_endless_output_is_ended_and_kept_up_to_the_end() {
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    let execution = lab.bash(&workspace, 300, "head -c 10G /dev/zero | tr '\\0' x").await;
    assert_eq!(execution.end, EndReason::OutputLimit(16 << 20));
    assert!(execution.output.total() < 17 << 20, "it is ended right past the limit");
    assert_eq!(std::fs::metadata(execution.output.file().unwrap()).unwrap().len(), execution.output.total());
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_dropping_the_call_ends_the_whole_process_tree() {
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    let script =
        "trap '' TERM; for _ in 1 2 3; do (trap '' TERM; setsid sleep 1000 &); done; touch begun; sleep 1000";
    let running = lab.sandbox.run(Job { ..Lab::job(&workspace, Interpreter::Bash, script) }, &lab.tasks);
    let begun = workspace.mounts().workspace.join("begun");
    let waiting = async {
        while !begun.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = running => panic!("it does not end by itself"),
        waited = tokio::time::timeout(IN_TIME, waiting) => waited.unwrap(),
    }
    lab.tasks.close();
    tokio::time::timeout(IN_TIME, lab.tasks.wait()).await.unwrap();
    assert!(processes(&workspace).is_empty());
}
