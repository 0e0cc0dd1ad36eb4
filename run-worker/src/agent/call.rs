//! Calls the tools that an answer requests. Repeatable tools that change no files run concurrently. Any other
//! tool runs alone, after everything before it is recorded. Intents are recorded before the calls, results in
//! the order of the calls.

use std::pin::pin;
use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt};
use shared::runs::events::{EventData, RequestedCall, ToolResult};
use shared::runs::{ErrorCode, RunError};
use tokio::time::{Instant, timeout_at};

use super::invoke::{Invoking, Returned, call_one};
use super::transcript::OpenCall;
use super::{Agent, Halt, events, files, over_quota, repeated, searches};
use crate::egress::CallEgress;
use crate::tools::{self, Files, RunSearch, SourceIds, Toolbox};

/// Concurrent calls of one run.
const MAX_CONCURRENT: usize = 8;

pub(super) const UNKNOWN_OUTCOME: &str = "The outcome of this call is unknown: the worker stopped during \
                                          the call. The call may have had its effect. Find out before you \
                                          call it again.";
const ABANDONED: &str = "The run ended during this call.";

/// The result of a call whose artifact does not fit.
const STORE_FULL: &str = "The file was not saved: the account's storage is full. Saving a smaller file may \
                          work. The user can delete old runs to make room.";

/// Makes the next open calls and records their results.
pub(super) async fn call_tools(agent: &mut Agent<'_, '_>) -> Result<(), Halt> {
    let listed = agent.app.tools.clone();
    let tools = agent.context.tools.of(&listed);
    let batch = next_batch(agent.log.transcript().open().iter(), tools);
    let step = agent.log.transcript().spent().steps();
    if let [OpenCall { call, intended: true }] = &batch[..]
        && !is_repeatable(call, tools)
    {
        let result = events::tool_result(call, UNKNOWN_OUTCOME.to_owned(), true);
        agent.log.add(EventData::ToolResult(result));
        return Ok(());
    }
    for open in batch.iter().filter(|open| !open.intended) {
        agent.log.add(events::tool_call(&open.call, step));
    }
    agent.log.record().await?;
    let deadline = agent.budget.deadline();
    let changes_files = batch.iter().any(|open| is_alone(&open.call, tools));
    let reading = agent.egress.read(agent.log.transcript().sources());
    if timeout_at(deadline, reading).await.is_err() {
        return Err(agent.budget.out_of_time(agent.log.transcript().spent()).into());
    }
    let with_egress = |open: OpenCall| (open.call, Arc::new(CallEgress::new(Arc::clone(&agent.egress))));
    let calls: Vec<_> = batch.into_iter().map(with_egress).collect();
    let source_ids = Arc::new(SourceIds::new(agent.log.transcript().numbered_sources()));
    let provider = agent.app.web_search.provider.clone();
    let search = Arc::new(RunSearch::after(provider, searches::made(agent.log.transcript())));
    let sees = agent.model.settings().vision;
    let pictures_left = sees.then(|| Arc::new(agent.pictures.left(agent.claimed.user_id)));
    let invoking = Invoking {
        tools,
        source_ids,
        search,
        pictures_left,
        calls_end: agent.budget.calls_end(),
        cut: agent.budget.calls_cut(),
        run: agent.claimed.id,
        workspace: agent.workspace.clone(),
        output_left: Arc::new(agent.budget.output_left(agent.log.transcript().spent()).into()),
    };
    let making = calls.iter().cloned().map(|(call, egress)| call_one(&invoking, call, egress));
    let results = stream::iter(making).buffered(MAX_CONCURRENT);
    let recorded = record_results(agent, results, deadline, changes_files).await;
    if matches!(recorded, Err(Halt::Fail(_))) {
        add_abandoned(agent, &calls);
    }
    recorded
}

/// Records the results in their order. An error ends the run or the attempt.
async fn record_results(
    agent: &mut Agent<'_, '_>,
    results: impl Stream<Item = Result<Returned, (ErrorCode, String)>>,
    deadline: Instant,
    changes_files: bool,
) -> Result<(), Halt> {
    let step = agent.log.transcript().spent().steps();
    let mut results = pin!(results);
    loop {
        // `timeout_at` polls the calls before its timer: without this check, calls would start too late.
        if Instant::now() >= deadline {
            return Err(agent.budget.out_of_time(agent.log.transcript().spent()).into());
        }
        let next = timeout_at(deadline, results.next()).await;
        // A result at the deadline may only say that the call was aborted.
        let (Ok(next), false) = (next, Instant::now() >= deadline) else {
            return Err(agent.budget.out_of_time(agent.log.transcript().spent()).into());
        };
        match next {
            None => return Ok(()),
            Some(Ok(returned)) => record(agent, returned, changes_files).await?,
            Some(Err((code, why))) => {
                return Err(RunError::new(code, &format!("step {step}: {why}"), Some(step)).into());
            }
        }
    }
}

/// Adds results for calls that had not returned at the run's end. So the hosts that they reached are
/// recorded.
fn add_abandoned(agent: &mut Agent<'_, '_>, calls: &[(RequestedCall, Arc<CallEgress>)]) {
    for (call, egress) in calls {
        let hosts = egress.contacted_hosts();
        if !hosts.is_empty() && agent.log.transcript().open().iter().any(|open| open.call.id == call.id) {
            let result = events::tool_result(call, ABANDONED.to_owned(), true);
            agent.log.add(EventData::ToolResult(ToolResult { contacted_hosts: hosts, ..result }));
        }
    }
}

/// Records what a call returned. If the call may have changed files, a snapshot is stored first. The result
/// names the snapshot, so no attempt continues from a result without its files.
async fn record(agent: &mut Agent<'_, '_>, returned: Returned, changes_files: bool) -> Result<(), Halt> {
    let mut result = returned.result;
    let stored = changes_files && over_quota::store(agent, &mut result).await?;
    let transcript = agent.log.transcript();
    if let Some(open) = transcript.open().iter().find(|open| open.call.id == result.call_id) {
        repeated::point_out(transcript.messages(), &open.call, &mut result);
    }
    let (mut recorded, mut refused) = (false, None);
    if let Some(artifact) = returned.artifact {
        let id = artifact.id;
        let events = vec![EventData::Artifact(artifact), EventData::ToolResult(result.clone())];
        recorded = agent.log.record_if_stored_fits(events).await?;
        if !recorded {
            refused = Some(id);
            STORE_FULL.clone_into(&mut result.content);
            result.is_error = true;
        }
    }
    if !recorded {
        let id = result.call_id.into();
        agent.log.add(EventData::ToolResult(result));
        if let Some(picture) = returned.picture {
            agent.pictures.add(id, picture);
            agent.log.show(&agent.pictures);
        }
        agent.log.record().await?;
    }
    // Only after the fence let the result through: a newer attempt may store the artifact under the same key.
    if let Some(id) = refused {
        files::delete_refused_artifact(agent, id).await;
    }
    if stored {
        files::delete_replaced(agent).await;
    }
    Ok(())
}

/// Whether no other call may run at the same time.
fn is_alone(call: &RequestedCall, tools: Toolbox<'_>) -> bool {
    tools.get(&call.name).is_some_and(|tool| {
        let changes_files = || {
            let arguments = tools::arguments::of_tool(&call.arguments, tool.spec());
            arguments.is_ok_and(|arguments| tool.files_of(&arguments) == Files::Changes)
        };
        !tool.spec().repeatable || changes_files()
    })
}

pub(super) fn is_repeatable(call: &RequestedCall, tools: Toolbox<'_>) -> bool {
    tools.get(&call.name).is_none_or(|tool| tool.spec().repeatable)
}

/// The first open calls that may run together.
fn next_batch<'c>(open: impl Iterator<Item = &'c OpenCall>, tools: Toolbox<'_>) -> Vec<OpenCall> {
    let mut batch: Vec<OpenCall> = Vec::new();
    for next in open {
        let alone = is_alone(&next.call, tools);
        if alone && !batch.is_empty() {
            break;
        }
        batch.push(next.clone());
        if alone {
            break;
        }
    }
    batch
}
