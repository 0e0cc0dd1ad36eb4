//! deploy/clients and the workflows of the tab API, run as GitHub and GitLab document that they run jobs.

mod github;
mod gitlab;
mod script;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

/// A YAML file as JSON. PyYAML reads it as both services do, except that the key `on` becomes `true`.
async fn yaml(text: &str) -> Value {
    let fuzzer = std::env::var("CAPI_SCHEMATHESIS").unwrap();
    let python = fuzzer.replace("/schemathesis/bin/schemathesis", "/schemathesis/bin/python");
    let code = "import json, sys, yaml; json.dump(yaml.safe_load(sys.argv[1]), sys.stdout)";
    let output = Command::new(python).args(["-c", code, text]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/clients").canonicalize().unwrap()
}

/// A bash with exactly this environment and PATH, in this folder.
fn bash(dir: &Path, env: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new("bash");
    command.current_dir(dir).env_clear().env("PATH", std::env::var("PATH").unwrap()).envs(env);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}
