//! Everything at once: several accounts create runs, cancel and delete them, while workers and dispatchers
//! are killed and suspended and the broker restarts. Meanwhile no account may exceed its cap. The drill waits
//! until all runs are over and all webhooks are out, and then checks every invariant.

mod actors;
mod checks;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use e2e::{Account, Process, Service, Stack};
use serde_json::json;
use shared::testing::WebhookReceiver;
use tokio_util::sync::CancellationToken;

use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;

const ACCOUNTS: usize = 6;
/// The plan's cap on running runs.
const CAP: usize = 4;
const PER_SECOND: u32 = 4;
const LASTS: Duration = Duration::from_secs(75);
const LASTS_IN_FULL: Duration = Duration::from_mins(5);
/// From the end of the storm until all runs are over and all webhooks are out. A webhook that was in flight
/// when its dispatcher died waits for its lease, 30 s.
const WITHIN: Duration = Duration::from_secs(75);

/// What the actors use.
struct Scene {
    stack: Stack,
    gateways: [Process; 2],
    accounts: Vec<Account>,
    over: CancellationToken,
}

/// The faults of the storm, and the processes that still run.
struct Faults {
    count: usize,
    words: String,
    running: Vec<Process>,
}

pub(crate) async fn drill(stage: &mut Stage, full: bool) -> Report {
    let mut report = Report::new("storm", WITHIN);
    let stack = stage.stack_of(CAP).await;
    let gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let mut accounts = Vec::new();
    for number in 0..ACCOUNTS {
        accounts.push(stack.account(&format!("storm{number}@example.com"), "drill").await);
    }
    let receiver = WebhookReceiver::start([]).await;
    let scene = Scene { stack, gateways, accounts, over: CancellationToken::new() };
    let mut loads = Vec::new();
    for account in &scene.accounts {
        loads.push(load(&scene, account, &receiver).await);
    }
    let ending = async {
        tokio::time::sleep(if full { LASTS_IN_FULL } else { LASTS }).await;
        scene.over.cancel();
    };
    let (faults, deleted, (wrong, at_cap), cancelled, ()) = tokio::join!(
        actors::break_processes(&scene, &mut stage.broker),
        actors::delete(&scene),
        actors::watch_places(&scene, CAP),
        actors::cancel(&scene),
        ending,
    );
    report.faults = faults.count;
    let calm = Instant::now();
    let mut accepted = HashSet::new();
    for load in loads {
        let answers = load.stop().await;
        report.misses.extend(answers.wrong);
        accepted.extend(answers.accepted);
    }
    report.must(wrong.is_empty(), || format!("caps and places during the storm: {wrong:?}"));
    // Otherwise the storm was a breeze.
    report.must(at_cap > 0, || "no account had as many running runs as it may".to_owned());
    report.must(cancelled > 0 && !deleted.is_empty(), || "nothing was cancelled or deleted".to_owned());
    report.notes.push(format!(
        "{} creates, {cancelled} cancels, {} deletes, {at_cap} looks at a whole cap, {}",
        accepted.len(),
        deleted.len(),
        faults.words
    ));
    checks::all(&mut report, &scene.stack, &receiver, (accepted, &deleted)).await;
    report.recoveries.push(calm.elapsed());
    drop(faults.running);
    report
}

/// Most runs are instant, some have several steps, and some take longer than a lease. No step does, so that
/// few runs lose three workers in one step.
async fn load(scene: &Scene, account: &Account, receiver: &WebhookReceiver) -> Load {
    let step = json!({"wait": 200, "say": "Thinking.", "call": [["current_time", ""]]});
    let steps = json!([step, step, {"say": "Done."}]);
    let long = json!({"wait": 1000, "say": "Thinking.", "call": [["current_time", ""]]});
    let slow = json!([long, long, long, {"wait": 1000, "say": "Done."}]);
    let text = move |number: usize| match number % 10 {
        0 => format!("SCRIPT {slow} run {number}"),
        1..4 => format!("SCRIPT {steps} run {number}"),
        _ => format!("run {number}"),
    };
    let app = scene.stack.tools_app_of(&account.email).await;
    let more = json!({"webhookUrl": receiver.url(), "appId": app});
    let gateways = [&scene.gateways[0], &scene.gateways[1]];
    Load::start_as((&account.key, account.app), &gateways, PER_SECOND, more, text)
}
