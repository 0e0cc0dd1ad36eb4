//! The sandbox under a whole run: cancels, limits, crashes, missing layers.

use e2e::{Process, Service, Signal, Stack, processes_of, runs_in};
use serde_json::{Value, json};
use shared::testing::eventually;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A stack whose workers work in a directory of the test's own, where every user may pass.
async fn stack() -> (Stack, tempfile::TempDir) {
    let mut stack = Stack::unlimited().await;
    let dir = tempfile::Builder::new().prefix("capi-work-").tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    stack.settings = stack.settings_with("CAPI_WORK_DIR", &dir.path().display().to_string());
    (stack, dir)
}

async fn create(stack: &Stack, gateway: &Process, more: &str, script: &Value) -> String {
    let app = stack.import_with_tools(more).await;
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {script}")}});
    stack.create_run_of(gateway, &body).await
}

fn shell(script: &str) -> Value {
    json!(["shell", json!({"script": script}).to_string()])
}

/// The directories of all runs, of all workers.
fn run_dirs(dir: &Path) -> Vec<PathBuf> {
    let below = |dir: &Path| {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
    };
    below(dir).iter().flat_map(|worker| below(worker)).collect()
}

/// Whether a file is in some run's workspace.
fn is_there(dir: &Path, name: &str) -> bool {
    run_dirs(dir).iter().any(|run| run.join("workspace").join(name).exists())
}

/// The end of a command that goes on only in the second attempt.
const UNTIL_GO: &str = "touch half; until [ -e go ]; do sleep 0.1; done";

/// Waits until the second attempt is at [`UNTIL_GO`], and lets it go on.
async fn go(dir: &Path, id: &str) {
    let attempt = format!("{id}-2");
    let workspace = eventually("the command runs again", async || {
        let run = run_dirs(dir).into_iter().find(|run| run.ends_with(&attempt))?;
        Some(run.join("workspace")).filter(|workspace| workspace.join("half").exists())
    })
    .await;
    std::fs::write(workspace.join("go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_a_cancel_ends_the_whole_process_tree() {
    let (mut stack, dir) = stack().await;
    stack.settings = stack.settings_with("CAPI_LEASE_SECONDS", "300");
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let stubborn = "trap '' TERM; (trap '' TERM; setsid sleep 1000 &); touch begun; sleep 1000";
    let id = create(&stack, &gateway, "", &json!([{"call": [shell(stubborn)]}, {"say": "Done."}])).await;
    eventually("the command runs", async || is_there(dir.path(), "begun").then_some(())).await;
    assert!(processes_of(dir.path()) > 0);
    let answer = stack.cancel_run(&gateway, &id).await;
    assert_eq!(answer.status, 200);
    eventually("its processes are gone", async || (processes_of(dir.path()) == 0).then_some(())).await;
    eventually("the row says so, and not before", async || {
        let sql = "SELECT coalesce(released_at >= completed_at, false)::text AS text FROM runs";
        (stack.text(sql).await == "true").then_some(())
    })
    .await;
    assert_eq!(
        (runs_in(dir.path()), stack.ended(&gateway, &id).await["status"].clone()),
        (0, "cancelled".into())
    );
    assert_eq!(worker.counter("capi_sandbox_kill_timeouts_total").await, 0.0);
}

/// What the model was told of the last calls, in their order.
fn told(stack: &Stack) -> Vec<String> {
    let messages = stack.model.asked().pop().unwrap().1["messages"].as_array().unwrap().clone();
    let results = messages.iter().filter(|message| message["role"] == "tool");
    results.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

/// A command that fills a workspace of a million bytes.
const GROW: &str = "head -c 900K /dev/zero > a; head -c 900K /dev/zero > b; echo grown";
/// Longer than the longest time limit of these runs.
const LONGEST_RUN: Duration = Duration::from_mins(5);
const SMALL: &str = "[limits]\nworkspace_bytes = 1000000";

#[tokio::test(flavor = "multi_thread")]
async fn g3_the_limit_of_a_command_is_told_and_the_run_goes_on() {
    let (stack, dir) = stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let waits = format!("{GROW}; sleep 1000");
    let files = ["over its limit", "\n- a (900 KiB)\n"];
    let cases: [(&str, &str, &[&str]); 3] = [
        ("[limits]\nseconds = 20", "echo begun; sleep 1000", &["begun", "time of the run", "switched off"]),
        (SMALL, &waits, &files),
        (SMALL, GROW, &files),
    ];
    for (limits, command, expected) in cases {
        let script = json!([{"say": "I try.", "call": [shell(command)]}, {"say": "Done."}]);
        let ended = async |limits: &str| {
            let id = create(&stack, &gateway, limits, &script).await;
            stack.ended_within(LONGEST_RUN, &gateway, &id).await
        };
        let mut run = ended(limits).await;
        // Of a short run a few seconds stay for the answer. A busy machine needs a longer run.
        if run["errorCode"] == "time_limit_exceeded" {
            run = ended(&limits.replace("20", "200")).await;
        }
        assert_eq!(run["status"], "completed", "{run} {}", worker.log());
        let told = told(&stack).pop().unwrap();
        assert!(expected.iter().all(|words| told.contains(words)), "{expected:?}: {told}");
        eventually("nothing is left", async || {
            (processes_of(dir.path()) + runs_in(dir.path()) == 0).then_some(())
        })
        .await;
    }
    let full = json!({"path": "big.txt", "content": "x".repeat(20_000)}).to_string();
    let script = json!([{"call": [["write_file", full], shell("ls")]}, {"say": "Done."}]);
    let id = create(&stack, &gateway, "[limits]\nworkspace_bytes = 10000", &script).await;
    assert_eq!(stack.ended(&gateway, &id).await["status"], "completed", "{}", worker.log());
    let told = stack.model.asked().pop().unwrap().1["messages"].to_string();
    assert!(
        told.contains("There is no room: the workspace may hold 10000 bytes")
            && told.contains("\\ninputs\\n"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_over_full_workspace_can_be_cleaned_up_and_ends_a_run_that_goes_on() {
    let (stack, _dir) = stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let clean = shell("rm b; echo cleaned; ls");
    let script = json!([{"call": [shell(GROW)]}, {"call": [clean]}, {"say": "Done."}]);
    let id = create(&stack, &gateway, SMALL, &script).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!(run["status"], "completed", "{run} {}", worker.log());
    let results = told(&stack);
    let [grown, cleaned] = &results[..] else { panic!("{results:?}") };
    assert!(grown.contains("over its limit"), "{grown}");
    assert!(cleaned.contains("cleaned\na\ninputs\n") && !cleaned.contains("over its limit"), "{cleaned}");

    let more = json!({"call": [shell("echo $RANDOM > small")]});
    let script = json!([
        {"call": [shell(GROW)]}, more, more,
        {"say": "It does not fit."},
    ]);
    let id = create(&stack, &gateway, SMALL, &script).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!(run["errorCode"], "workspace_limit_exceeded", "{run} {}", worker.log());
    assert_eq!(run["result"]["text"], "It does not fit.", "its last answer is kept: {run}");
    assert!(run["error"]["message"].as_str().unwrap().starts_with("step 4: "), "{run}");
    assert_eq!(worker.counter("capi_workspace_over_limit_total").await, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn r16_a_crash_in_a_command_leaves_one_effect() {
    let (stack, dir) = stack().await;
    // The other worker ends the leases of the dead one: they share a directory.
    let stack = stack.with_usual_leases();
    let gateway = stack.start(Service::Gateway).await;
    let doomed = stack.start(Service::RunWorker).await;
    let slow = format!("echo second >> log; mkdir -p d; ln -s /etc/passwd d/link; {UNTIL_GO}");
    let script = json!([
        {"call": [shell("echo first >> log; printf '#!/bin/sh\\necho ran' > tool; chmod +x tool")]},
        {"call": [shell(&slow)]},
        {"call": [shell("cat log; ./tool; ls; ls d; stat -c %U log")]},
        {"say": "Done."},
    ]);
    let id = create(&stack, &gateway, "", &script).await;
    eventually("the second command has had its effect", async || is_there(dir.path(), "half").then_some(()))
        .await;
    doomed.kill().await;
    eventually("its processes die with it", async || (processes_of(dir.path()) == 0).then_some(())).await;
    let other = stack.start(Service::RunWorker).await;
    go(dir.path(), &id).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["attempt"]), (&"completed".into(), &2.into()), "{run} {}", other.log());
    assert_eq!(stack.model.asked().len(), 4, "no question is asked twice");
    let told =
        stack.model.asked().pop().unwrap().1["messages"].as_array().unwrap().last().unwrap()["content"]
            .clone();
    let told = told.as_str().unwrap();
    assert!(
        told.contains("first\nsecond\nran\nd\ngo\nhalf\ninputs\nlog\ntool\nlink\nagent\n"),
        "each effect once: {told}"
    );
    assert_eq!(other.counter("capi_workspaces_restored_total").await, 1.0);
    eventually("the dead worker's files are swept, and the run's", async || {
        (std::fs::read_dir(dir.path()).unwrap().count() == 1 && runs_in(dir.path()) == 0).then_some(())
    })
    .await;
    eventually("no snapshot outlives its run", async || {
        let left = std::fs::read_dir(stack.artifacts_dir().join(format!("runs/{id}"))).unwrap().flatten();
        let objects = left.map(|attempt| std::fs::read_dir(attempt.path()).map_or(0, Iterator::count));
        (objects.sum::<usize>() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_stopping_worker_leaves_its_files_to_the_next_one() {
    let (stack, dir) = stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let mut stopping = stack.start(Service::RunWorker).await;
    let script = json!([
        {"call": [shell("echo first > log")]},
        {"call": [shell(&format!("echo second >> log; {UNTIL_GO}"))]},
        {"call": [shell("cat log")]},
        {"say": "Done."},
    ]);
    let id = create(&stack, &gateway, "", &script).await;
    eventually("the second command runs", async || is_there(dir.path(), "half").then_some(())).await;
    stopping.signal(Signal::TERM);
    let _other = stack.start(Service::RunWorker).await;
    assert!(stopping.ends_well().await, "{}", stopping.log());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "it left nothing behind");
    go(dir.path(), &id).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!((&run["status"], &run["attempt"]), (&"completed".into(), &2.into()), "{run}");
    assert!(stack.model.asked().pop().unwrap().1["messages"].to_string().contains("first\\nsecond\\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_without_the_sandbox_no_command_runs_and_readiness_says_why() {
    let (stack, _dir) = stack().await;
    let gateway = stack.start(Service::Gateway).await;
    let wrapper = stack.artifacts_dir().parent().unwrap().join("bwrap");
    let without = "#!/bin/bash\nkept=()\nwhile [ $# -gt 0 ]; do case $1 in --add-seccomp-fd) shift 2 ;; *) \
                   kept+=(\"$1\"); shift ;; esac; done\nexec /usr/bin/bwrap \"${kept[@]}\"\n";
    std::fs::write(&wrapper, without).unwrap();
    for path in [wrapper.parent().unwrap(), &wrapper] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let settings = stack.settings_with("CAPI_SANDBOX_BWRAP", &wrapper.display().to_string());
    let up = |_: u16, body: &str| body.contains(r#""broker":"up""#);
    let (worker, status, said) = Process::start_until(Service::RunWorker, &settings, up).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["sandbox"]), (503, &json!({"status": "down", "missing": ["seccomp"]})));
    assert_eq!(worker.counter("capi_sandbox_layer_missing").await, 1.0);
    let id = create(&stack, &gateway, "", &json!([{"call": [shell("true")]}, {"say": "Done."}])).await;
    let run = stack.ended(&gateway, &id).await;
    assert_eq!(run["errorCode"], "sandbox_error", "{run}");
    assert!(
        run["error"]["message"].as_str().unwrap().contains("the worker's sandbox lacks: seccomp"),
        "{run}"
    );
    assert!(stack.model.asked().is_empty(), "nothing was offered to the model");
    let other = stack.create_run(&gateway, "hello", None).await;
    assert_eq!(stack.ended(&gateway, &other).await["status"], "completed", "other apps run");
    worker.kill().await;

    let off = Process::start(Service::RunWorker, &stack.settings_with("CAPI_SANDBOX", "off")).await;
    let id = create(&stack, &gateway, "", &json!([{"say": "Done."}])).await;
    let run = stack.ended(&gateway, &id).await;
    assert!(run["error"]["message"].as_str().unwrap().contains("turned the sandbox off"), "{run}");
    off.kill().await;

    let _unprepared =
        Process::start(Service::RunWorker, &stack.settings_with("CAPI_SANDBOX_PYTHON", "/nowhere")).await;
    let id = create(&stack, &gateway, "", &json!([{"say": "Done."}])).await;
    let run = stack.ended(&gateway, &id).await;
    assert!(
        run["error"]["message"]
            .as_str()
            .unwrap()
            .contains("the tool python cannot run: Python is not prepared"),
        "{run}"
    );
}
