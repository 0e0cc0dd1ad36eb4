//! The tools that an answer calls: those that may be repeated side by side, any other alone, when everything before it is recorded.
//! Intents come before the calls, results in the order of the calls.

use futures_util::stream::{self, StreamExt};
use shared::events::NewEvent;
use shared::ids::RunId;
use shared::runs::{ErrorCode, RunError};
use shared::text::CleanText;
use tokio::time::{Instant, timeout_at};

use super::message::Call;
use super::transcript::OpenCall;
use super::{Agent, Stopped};
use crate::tools::{self, Invocation, ToolError, Toolbox};

/// Calls under way at once in one run.
const SIDE_BY_SIDE: usize = 8;
/// Bytes of what the model is told went wrong: it may repeat what the model or a server said.
const MAX_WORDS: usize = 2000;

const UNKNOWN_OUTCOME: &str = "The outcome of this call is unknown: the worker stopped while it was under way. It may have had \
                               its effect. Find out before you call it again.";

/// Calls the next ones; an error ends the run.
pub(super) async fn call_tools(agent: &mut Agent<'_>) -> Result<Result<(), RunError>, Stopped> {
    let listed = agent.app.tools.clone();
    let tools = agent.context.tools.of(&listed);
    let batch = next_batch(agent.log.transcript().open().iter(), tools);
    let step = agent.log.transcript().spent().steps();
    if let [OpenCall { call, intended: true }] = &batch[..]
        && !is_repeatable(call, tools)
    {
        let result = call.result(UNKNOWN_OUTCOME, true);
        agent.log.say(result);
        return Ok(Ok(()));
    }
    for open in batch.iter().filter(|open| !open.intended) {
        agent.log.say(open.call.event(step));
    }
    agent.log.record().await?;
    let (run, deadline) = (agent.claimed.id, agent.budget.deadline());
    let calls = batch.into_iter().map(|OpenCall { call, .. }| call_one(tools, run, call, deadline));
    let mut results = stream::iter(calls).buffered(SIDE_BY_SIDE);
    loop {
        if Instant::now() >= deadline {
            return Ok(Err(agent.budget.out_of_time(agent.log.transcript().spent())));
        }
        match timeout_at(deadline, results.next()).await {
            Err(_) => return Ok(Err(agent.budget.out_of_time(agent.log.transcript().spent()))),
            Ok(None) => return Ok(Ok(())),
            Ok(Some(Err(why))) => {
                return Ok(Err(RunError::new(
                    ErrorCode::ToolError,
                    &format!("step {step}: {why}"),
                    Some(step),
                )));
            }
            Ok(Some(Ok(events))) => {
                for event in events {
                    agent.log.say(event);
                }
                agent.log.record().await?;
            }
        }
    }
}

fn is_repeatable(call: &Call, tools: Toolbox<'_>) -> bool {
    tools.get(&call.name).is_none_or(|tool| tool.spec().repeatable)
}

/// The calls at the front that may be made now.
fn next_batch<'c>(open: impl Iterator<Item = &'c OpenCall>, tools: Toolbox<'_>) -> Vec<OpenCall> {
    let mut batch: Vec<OpenCall> = Vec::new();
    for next in open {
        let alone = !is_repeatable(&next.call, tools);
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

/// One call, with what is to be recorded of it; or in words why the run cannot go on.
async fn call_one(
    tools: Toolbox<'_>,
    run: RunId,
    call: Call,
    deadline: Instant,
) -> Result<Vec<NewEvent>, String> {
    let begun = Instant::now();
    let outcome = invoke(tools, run, &call, deadline).await;
    let name = tools.get(&call.name).map_or("unknown", |tool| tool.spec().name);
    let told = match &outcome {
        Ok(_) => "ok",
        Err(ToolError::RespondToModel(_)) => "told_the_model",
        Err(ToolError::Fatal(_)) => "fatal",
    };
    metrics::counter!("capi_tool_calls_total", "tool" => name, "outcome" => told).increment(1);
    metrics::histogram!("capi_tool_call_seconds", "tool" => name).record(begun.elapsed().as_secs_f64());
    match outcome {
        Ok(output) => {
            let result = call.result(&output.text, false);
            Ok(output.artifact.into_iter().map(|artifact| artifact.event(call.id)).chain([result]).collect())
        }
        Err(ToolError::RespondToModel(why)) => Ok(vec![call.result(&CleanText::new(&why, MAX_WORDS), true)]),
        Err(ToolError::Fatal(why)) => Err(format!("the tool {name} failed: {why}")),
    }
}

async fn invoke(
    tools: Toolbox<'_>,
    run: RunId,
    call: &Call,
    deadline: Instant,
) -> Result<tools::Output, ToolError> {
    let Some(tool) = tools.get(&call.name) else {
        let known: Vec<_> = tools.all().map(|tool| tool.spec().name).collect();
        let why = format!("There is no tool {:?}; there are: {}.", call.name, known.join(", "));
        return Err(ToolError::RespondToModel(why));
    };
    let arguments = tools::arguments::parse(&call.arguments)?;
    let spec = tool.spec();
    let until = deadline.min(Instant::now() + spec.timeout);
    let calling = tool.call(Invocation { run, id: call.id, arguments });
    let mut output = timeout_at(until, calling).await.unwrap_or_else(|_| {
        let why = format!("The tool did not finish within {} s.", spec.timeout.as_secs());
        Err(ToolError::RespondToModel(why))
    })?;
    output.cut(spec.max_result_bytes);
    Ok(output)
}
