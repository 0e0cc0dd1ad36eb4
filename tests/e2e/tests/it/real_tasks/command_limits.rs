//! G3: a limit of one command ends the command. The result tells the model what was printed, which limit it
//! was, and what to do. The run goes on.

use serde_json::json;

use super::services::{Services, script};
use super::{Call, python, shell};

/// The workspace of the app, in bytes.
const WORKSPACE: &str = "30000000";

/// A limit: a command that exceeds it, and texts of which the model must be told one.
type Case = (&'static str, Call<'static>, &'static [&'static str]);

fn cases() -> Vec<Case> {
    let short = |script: &str| ("shell", json!({"script": script, "timeout_seconds": 2}));
    let clean =
        |path: &str| (CLEANING, shell(&format!("echo before; rm -rf {path}; ls")), &["small.txt"][..]);
    vec![
        ("time", short("echo before; seq 100 > small.txt; sleep 600"), &["after 2 s", "2 seconds"]),
        ("workspace", shell("echo before; dd if=/dev/zero of=big.bin bs=1M count=60"), &["big.bin"]),
        clean("big.bin"),
        ("files", shell("echo before; mkdir many; seq 10100 | (cd many && xargs touch)"), &["10000"]),
        clean("many"),
        ("depth", shell("echo before; mkdir -p $(printf 'd/%.0s' $(seq 100))"), &["64"]),
        clean("d"),
        ("memory", python(MEMORY), &["memory of a command", "of memory", "short of memory"]),
        ("output", shell("echo before; head -c 20M /dev/zero | tr '\\0' x"), &["printed more than"]),
        (
            "/tmp",
            shell("echo before; for n in 1 2 3 4; do dd if=/dev/zero of=/tmp/$n bs=1M count=20; done"),
            &["/tmp has 64 MiB"],
        ),
        (
            "files in /tmp",
            shell("echo before; mkdir /tmp/d; cd /tmp/d; seq 10100 | xargs touch; sleep 5"),
            &["10000"],
        ),
        ("/dev/shm", python(SHARED_MEMORY), &["/dev/shm"]),
        ("processes", python(PROCESSES), &["64 processes"]),
    ]
}

/// The name of a command that removes what the one before it made.
const CLEANING: &str = "cleaning up";

/// Takes more memory than a command may have.
const MEMORY: &str = "
print('before', flush=True)
pieces = [b'x' * (64 << 20) for _ in range(60)]
";

/// Fills more shared memory than there is.
const SHARED_MEMORY: &str = "
import mmap
print('before', flush=True)
with open('/dev/shm/x', 'wb+') as file:
    file.truncate(20 << 20)
    memory = mmap.mmap(file.fileno(), 20 << 20)
    memory[:] = b'x' * (20 << 20)
";

/// Starts more processes than a command may have.
const PROCESSES: &str = "
import subprocess
print('before', flush=True)
for _ in range(100):
    subprocess.Popen(['sleep', '30'])
";

#[tokio::test(flavor = "multi_thread")]
async fn g3_each_limit_of_a_command_is_told_and_the_run_goes_on() {
    let services = Services::start().await;
    let cases = cases();
    let calls: Vec<_> = cases.iter().map(|(_, call, _)| call.clone()).collect();
    let app = services.stack.import_with_tools(&format!("[limits]\nworkspace_bytes = {WORKSPACE}\n")).await;
    let ended = services.run_of(&app, &[], &script(&calls, "Done.")).await;
    assert_eq!(ended.run["status"], "completed", "{}\n{}", ended.run, services.worker.log());
    assert_eq!(ended.told.len(), cases.len());
    for ((limit, _, texts), told) in cases.iter().zip(&ended.told) {
        assert!(told.0.contains("before"), "{limit}: what was printed is kept: {}", told.0);
        assert!(*limit != CLEANING || told.0.contains("exit code 0"), "{limit}: {}", told.0);
        told.has_one_of(texts);
    }
    // The limit of the workspace, and what takes the room.
    ended.told[1].has_one_of(&[WORKSPACE, "30 MB", "28.6 MiB"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_command_ends_before_the_run_and_the_model_can_answer() {
    let services = Services::start().await;
    let calls = [("shell", json!({"script": "echo before; sleep 600", "timeout_seconds": 600}))];
    // Of a short run a few seconds stay for the answer. A busy machine needs a longer run.
    for seconds in [16, 60, 200] {
        let app = services.stack.import_with_tools(&format!("[limits]\nseconds = {seconds}\n")).await;
        let ended = services.run_of(&app, &[], &script(&calls, "It takes too long.")).await;
        if ended.run["errorCode"] == "time_limit_exceeded" {
            continue;
        }
        assert_eq!(ended.run["status"], "completed", "{}", ended.run);
        assert_eq!(ended.run["result"]["text"], "It takes too long.");
        ended.told[0].has(&["before", "the run"]);
        return;
    }
    panic!("no run had time to answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_run_that_stays_over_its_workspace_ends_after_it_was_told() {
    let services = Services::start().await;
    let app = services.stack.import_with_tools("[limits]\nworkspace_bytes = 1000000\n").await;
    let fill = |name: &str| shell(&format!("echo before; head -c 900K /dev/zero > {name}"));
    let calls = ["a", "b", "c", "d", "e"].map(fill);
    let ended = services.run_of(&app, &[], &script(&calls, "There is no room.")).await;
    assert_eq!(ended.run["errorCode"], "workspace_limit_exceeded", "{}", ended.run);
    let over: Vec<_> = ended.told.iter().filter(|told| told.0.contains("over its limit")).collect();
    assert!(over.len() > 1, "the run does not end at the first time: {:?}", ended.told);
    over[0].has(&["before"]);
    over[0].has_one_of(&["1000000", "976.5 KiB", "1 MB"]);
    assert!(ended.told.len() <= calls.len(), "and it does not go on for ever");
}
