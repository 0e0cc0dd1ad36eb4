//! The job of the tab API, and the template for GitLab.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::{Value, json};
use shared::testing::eventually;

use super::{bash, clients, yaml};
use crate::snippets::{Ended, Site};

/// The lines of a section as the runner joins them.
fn script(job: &Value, section: &str) -> String {
    let lines = job[section].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    format!("set -eo pipefail\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// The variables of a job. GitLab replaces names of variables in them.
fn variables(site: &Site, job: &Value) -> BTreeMap<String, String> {
    let expand = |value: &str| {
        let expanded = value.replace("$CI_JOB_NAME_SLUG", "my-job");
        assert!(!expanded.contains('$'), "GitLab would replace it: {expanded}");
        expanded
    };
    let given = job["variables"].as_object().unwrap().iter();
    let mut all: BTreeMap<_, _> =
        given.map(|(name, value)| (name.clone(), expand(value.as_str().unwrap()))).collect();
    all.insert("CAPI_API_KEY".to_owned(), site.stack.key.clone());
    all.insert("GITLAB_CI".to_owned(), "true".to_owned());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_the_page_saves_the_result_and_a_killed_one_cancels_its_run() {
    let site = Site::start().await;
    let text = "it's $HOME ${CI} $$: # \"x\"";
    let app = site.app(text, "").await;
    let job = yaml(&site.code(&app, "gitlab").await).await["capi"].clone();
    let dir = tempfile::tempdir().unwrap();
    let env = variables(&site, &job);
    let ended = Ended::of(bash(dir.path(), &env).args(["-c", &script(&job, "script")])).await;
    assert_eq!((ended.code, ended.out), (Some(0), format!("You said: {text}")), "{}", ended.err);
    let read = |name: &str| std::fs::read_to_string(dir.path().join("capi").join(name)).unwrap();
    let run: Value = serde_json::from_str(&read("run.json")).unwrap();
    assert_eq!(run["inputs"], json!({"text": text}));
    let link = format!("{}/runs/{}", site.front.url(), run["id"].as_str().unwrap());
    assert!(read("capi.env").contains(&format!("CAPI_RUN_URL={link}\n")), "{}", read("capi.env"));
    let annotations: Value = serde_json::from_str(&read("annotations.json")).unwrap();
    assert_eq!(annotations["capi"][0]["external_link"]["url"], link);
    // The run is over, so there is nothing to cancel.
    let after = Ended::of(bash(dir.path(), &env).args(["-c", &script(&job, "after_script")])).await;
    assert_eq!((after.code, after.err.as_str()), (Some(0), ""));
    let again = Ended::of(bash(dir.path(), &env).args(["-c", &script(&job, "script")])).await;
    assert!(again.code == Some(2) && again.err.contains("is not empty"), "nothing is replaced: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_the_template_that_was_killed_cancels_its_run() {
    let site = Site::start().await;
    let template = yaml(&std::fs::read_to_string(clients().join("gitlab/capi.yml")).unwrap()).await;
    let mut job = template[".capi"].clone();
    job["variables"]["CAPI_URL"] = site.front.url().into();
    job["variables"]["CAPI_APP"] = site.app("HOLD", "").await.into();
    let dir = tempfile::tempdir().unwrap();
    let env = variables(&site, &job);
    let mut command = bash(dir.path(), &env);
    command.args(["-c", &script(&job, "script")]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.process_group(0).spawn().unwrap();
    site.waits(2).await;
    let group = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process_group(group, e2e::Signal::KILL).unwrap();
    child.wait().await.unwrap();
    let after = Ended::of(bash(dir.path(), &env).args(["-c", &script(&job, "after_script")])).await;
    assert!(after.code == Some(0) && after.err.starts_with("cancelled the run "), "{after:?}");
    eventually("the run is cancelled", async || {
        (site.stack.text("SELECT status::text AS text FROM runs").await == "cancelled").then_some(())
    })
    .await;
    assert_eq!(job["artifacts"]["paths"], json!(["capi-$CI_JOB_NAME_SLUG/"]));
    assert!(dir.path().join("capi-my-job/capi.env").exists());
}
