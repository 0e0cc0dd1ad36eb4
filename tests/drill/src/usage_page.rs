//! Case 13: an account with very many runs loads its usage page with many requests at once, of which the
//! gateway refuses most, and then again and again, one after the other, while another account creates runs.
//! Each create is accepted, and as fast as without the loads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::accounts::Account;
use e2e::console::{EMAIL, Session};
use e2e::{Process, Stack};
use serde_json::json;
use shared::testing::eventually;
use tokio::task::JoinSet;

use crate::report::Report;
use crate::stage::Stage;

const RUNS: u32 = 100_000;
const RUNS_IN_FULL: u32 = 500_000;
const LOADS_AT_ONCE: u32 = 48;
/// From one load to the next of the same client. All clients together stay below the account's limit of
/// pages, which would refuse most.
const EVERY: Duration = Duration::from_secs(4);
const CREATES: usize = 100;
/// A create beside the loads. The loads take processor time from all processes of the machine.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(1);
/// The page, once its sums are made.
const SHOWN_WITHIN: Duration = Duration::from_millis(250);

pub(crate) async fn drill(stage: &Stage, full: bool) -> Report {
    let mut report = Report::new("the usage page of a large account", ACCEPTED_WITHIN);
    let stack = stage.stack().await;
    let gateway = stack.start_console().await;
    let session = stack.session(&gateway, EMAIL).await;
    add_runs(&stack, if full { RUNS_IN_FULL } else { RUNS }).await;
    let other = stack.account("b@example.com", "big").await;
    let alone = creates(&mut report, &stack, &gateway, &other).await;
    let shown = Arc::new(AtomicUsize::new(0));
    let loads = load_for_ever(&stack, &gateway, &session, &shown);
    report.faults = LOADS_AT_ONCE as usize;
    report.recoveries = creates(&mut report, &stack, &gateway, &other).await;
    let shown = shown.load(Ordering::Relaxed);
    drop(loads);
    report.notes.push(format!("the page was shown {shown} times meanwhile"));
    // Pages that are refused or fail are no load.
    report.must(shown >= LOADS_AT_ONCE as usize, || {
        format!("only {shown} loads of the page were answered 200")
    });
    let p95 = |samples: &[Duration]| samples[samples.len() * 95 / 100];
    report.notes.push(format!(
        "p95 of a create: {:.1?} beside the loads, {:.1?} without",
        p95(&report.recoveries),
        p95(&alone)
    ));
    let shown = eventually("the page is shown", async || {
        let begun = Instant::now();
        (stack.page_once(&gateway, "/account/usage", &session.cookie).await.0 == 200).then(|| begun.elapsed())
    })
    .await;
    report.notes.push(format!("the page is shown after {shown:.1?}"));
    report.must(shown < SHOWN_WITHIN, || format!("the page took {shown:?}"));
    report
}

/// Loads the page with so many clients until it is dropped: first all at once, then in turn. Counts the
/// answers 200.
fn load_for_ever(
    stack: &Stack,
    gateway: &Process,
    session: &Session,
    shown: &Arc<AtomicUsize>,
) -> JoinSet<()> {
    let mut loads = JoinSet::new();
    for number in 0..LOADS_AT_ONCE {
        let (client, url) = (stack.client().clone(), format!("{}/account/usage", gateway.url()));
        let (cookie, shown) = (session.cookie.clone(), Arc::clone(shown));
        loads.spawn(async move {
            let mut pause = EVERY * number / LOADS_AT_ONCE;
            loop {
                let answer = client.get(&url).header("cookie", &cookie).send().await;
                shown
                    .fetch_add(usize::from(answer.is_ok_and(|page| page.status() == 200)), Ordering::Relaxed);
                tokio::time::sleep(pause).await;
                pause = EVERY;
            }
        });
    }
    loads
}

/// How long each of some creates took, sorted.
async fn creates(report: &mut Report, stack: &Stack, gateway: &Process, by: &Account) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..CREATES {
        let sent = Instant::now();
        let body = json!({"appId": by.app, "inputs": {"text": "hello"}});
        let request = stack.client().post(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&by.key);
        let answer = stack.send(request.json(&body)).await;
        took.push(sent.elapsed());
        report.must(answer.status == 202, || format!("a create was answered {}", answer.status));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    took.sort_unstable();
    took
}

/// Runs of the last 29 days, as workers leave them, without their events.
async fn add_runs(stack: &Stack, runs: u32) {
    const BATCH: u32 = 25_000;
    for _ in 0..runs / BATCH {
        let sql = format!(
            "INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs, \
             chat_model_id, metadata, created_at, started_at, completed_at, last_seq, result, input_tokens)
             SELECT gen_random_uuid(), a.user_id, a.id, v.id, 'api', 'completed', 't', '{{}}', 'scripted', \
             '{{}}', at, at, at, 1, '{{\"text\": \"done\"}}', 100
             FROM apps a JOIN app_versions v ON v.app_id = a.id,
                  LATERAL (SELECT capi_now() - random() * interval '29 days' AS at
                           FROM generate_series(1, {BATCH})) times
             WHERE a.id = '{}'",
            stack.app
        );
        stack.database.run_sql(sql).await;
    }
    stack.database.run_sql("ANALYZE runs").await;
}
