//! Makes one call of a tool. The time, the metrics and the message for the model are the same for all tools.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use shared::ids::RunId;
use shared::runs::ErrorCode;
use shared::runs::events::{PublishedArtifact, RequestedCall, ToolResult};
use shared::text::CleanText;
use tokio::time::{Instant, timeout_at};

use super::events;
use crate::egress::CallEgress;
use crate::pictures::{PicturesLeft, ShownPicture};
use crate::tools::{self, Invocation, RunSearch, SourceIds, ToolError, Toolbox};
use crate::workspace::Workspace;

/// Bytes of an error for the model: it may quote the model or a server.
const MAX_ERROR_BYTES: usize = 2000;
const OUT_OF_TIME: &str = "The call was ended, because the run's time is nearly used up. Give your final \
                           answer with what you have.";

/// What the calls of a batch share.
pub(super) struct Invoking<'t> {
    pub(super) tools: Toolbox<'t>,
    pub(super) run: RunId,
    pub(super) calls_end: Instant,
    /// A call that has not returned by then is ended.
    pub(super) cut: Instant,
    pub(super) workspace: Option<Workspace>,
    /// Bytes that the run may still produce.
    pub(super) output_left: Arc<AtomicU64>,
    pub(super) source_ids: Arc<SourceIds>,
    pub(super) search: Arc<RunSearch>,
    /// `None` if the model sees no pictures.
    pub(super) pictures_left: Option<Arc<PicturesLeft>>,
}

/// What a call returned, to be recorded.
pub(super) struct Returned {
    pub(super) artifact: Option<PublishedArtifact>,
    pub(super) picture: Option<ShownPicture>,
    pub(super) result: ToolResult,
}

/// Makes one call. An error ends the run.
pub(super) async fn call_one(
    invoking: &Invoking<'_>,
    call: RequestedCall,
    egress: Arc<CallEgress>,
) -> Result<Returned, (ErrorCode, String)> {
    let begun = Instant::now();
    let outcome = invoke(invoking, &call, Arc::clone(&egress)).await;
    let name = invoking.tools.get(&call.name).map_or("unknown", |tool| tool.spec().name);
    let label = match &outcome {
        Ok(_) => "ok",
        Err(ToolError::RespondToModel(_)) => "returned_to_model",
        Err(ToolError::Fatal(..)) => "fatal",
    };
    metrics::counter!("capi_tool_calls_total", "tool" => name, "outcome" => label).increment(1);
    metrics::histogram!("capi_tool_call_duration_seconds", "tool" => name)
        .record(begun.elapsed().as_secs_f64());
    let (artifact, picture, result) = match outcome {
        Ok(output) => {
            let artifact = output.artifact.map(|artifact| artifact.published(call.id));
            let (sources, picture) = (output.sources, output.picture);
            let stored = picture.as_ref().map(|shown| shown.stored.clone());
            let result = events::tool_result(&call, output.text, false);
            (artifact, picture, ToolResult { sources, picture: stored, ..result })
        }
        Err(ToolError::RespondToModel(why)) => {
            let content = CleanText::new(&why, MAX_ERROR_BYTES).into_string();
            (None, None, events::tool_result(&call, content, true))
        }
        Err(ToolError::Fatal(code, why)) => return Err((code, format!("the tool {name} failed: {why}"))),
    };
    Ok(Returned {
        artifact,
        picture,
        result: ToolResult { contacted_hosts: egress.contacted_hosts(), ..result },
    })
}

async fn invoke(
    invoking: &Invoking<'_>,
    call: &RequestedCall,
    egress: Arc<CallEgress>,
) -> Result<tools::Output, ToolError> {
    let tools = invoking.tools;
    let Some(tool) = tools.get(&call.name) else {
        let known: Vec<_> = tools.all().map(|tool| tool.spec().name).collect();
        let why = format!("There is no tool {:?}; there are: {}.", call.name, known.join(", "));
        return Err(ToolError::RespondToModel(why));
    };
    let spec = tool.spec();
    let arguments = tools::arguments::of_tool(&call.arguments, spec)?;
    let usual_end = Instant::now() + spec.timeout;
    let (run, id, output_left) = (invoking.run, call.id, Arc::clone(&invoking.output_left));
    let (workspace, source_ids) = (invoking.workspace.clone(), Arc::clone(&invoking.source_ids));
    let (search, pictures_left) = (Arc::clone(&invoking.search), invoking.pictures_left.clone());
    let invocation = Invocation {
        run,
        id,
        arguments,
        calls_end: invoking.calls_end,
        workspace,
        output_left,
        egress,
        source_ids,
        search,
        pictures_left,
    };
    let until = invoking.cut.min(usual_end);
    let mut output = timeout_at(until, tool.call(invocation)).await.unwrap_or_else(|_| {
        let why = if invoking.cut < usual_end {
            OUT_OF_TIME.to_owned()
        } else {
            format!("The tool did not finish within {} s.", spec.timeout.as_secs())
        };
        Err(ToolError::RespondToModel(why))
    })?;
    output.cut(spec.max_result_bytes);
    Ok(output)
}
