//! What a service is as a process: it leaves no core dump, and as the first process of a container no
//! zombie.

use std::path::Path;
use std::process::Stdio;

use e2e::{Service, Stack, bin_dir};
use serde_json::json;
use shared::testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn no_service_leaves_a_core_dump() {
    let stack = Stack::unlimited().await;
    for service in [Service::Gateway, Service::RunWorker, Service::WebhookDispatcher] {
        let process = stack.start(service).await;
        let pids = process.pids();
        assert_eq!(
            pids.len(),
            if service == Service::RunWorker { 2 } else { 1 },
            "a worker has a supervisor"
        );
        for pid in pids {
            let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
            let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            let values: Vec<_> = line.split_whitespace().skip(4).take(2).collect();
            assert_eq!(values, ["0", "0"], "{service:?}");
        }
    }
}

/// The ids of a process's children, zombies too.
fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn address(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join("run-worker.ops")).ok().map(|text| text.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_the_first_process_leaves_no_zombies() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut stack = Stack::unlimited().await;
    let dir = tempfile::Builder::new().prefix("capi-work-").tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    stack.settings = stack.settings_with("CAPI_WORK_DIR", &dir.path().display().to_string());
    let gateway = stack.start(Service::Gateway).await;
    let run_dir = tempfile::tempdir().unwrap();
    let mut unshare = tokio::process::Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(bin_dir().join("run-worker"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(stack.settings.iter().cloned())
        .env("CAPI_RUN_DIR", run_dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("the worker listens", async || address(run_dir.path())).await;
    let first = children(unshare.id().unwrap())[0];
    let app = stack.import_with_tools("").await;
    let orphans = "(setsid sleep 1000 > /dev/null 2>&1 &) ; (sleep 0.1 &) ; echo done";
    let call = json!([{"call": [["shell", json!({"script": orphans}).to_string()]]}, {"say": "Done."}]);
    for _ in 0..5 {
        let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {call}")}});
        let id = stack.create_run_of(&gateway, &body).await;
        let run = stack.ended(&gateway, &id).await;
        assert_eq!(run["status"], "completed", "{run}");
    }
    eventually("every orphan is waited for, and the worker is the only child", async || {
        (children(first).len() == 1).then_some(())
    })
    .await;
    // The signal reaches the worker, and its exit code comes back.
    let first = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::TERM).unwrap();
    let ended = tokio::time::timeout(shared::testing::WAIT_LIMIT, unshare.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}
