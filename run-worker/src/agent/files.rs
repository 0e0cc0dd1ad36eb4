//! The workspace of the run: restored from the last snapshot, and stored in a new one after each call that
//! changed it.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use futures_util::StreamExt;
use shared::apps::AppDefinition;
use shared::db::{Connection, DbError, statement};
use shared::ids::{ArtifactId, FileId, RunId};
use shared::runs::events::StoredSnapshot;
use shared::runs::{ErrorCode, RunError};
use shared::storage::{ObjectKey, StorageError};
use tokio::time::{timeout, timeout_at};

use super::budget::Budget;
use super::transcript::Transcript;
use super::{Agent, Halt};
use crate::context::Context;
use crate::leases::store::Claimed;
use crate::retry_on_outage::retry_on_outage;
use crate::sandbox::limits::SandboxLimits;
use crate::workspace::{InputFile, Quota, QuotaExceeded, Snapshot, Workspace, WorkspaceError, WorkspaceSlot};

/// Deleting snapshots of a run takes at most this long. `store_gc` deletes the remaining ones.
const DELETE_TIMEOUT: Duration = Duration::from_secs(10);

/// The caller's files.
pub(super) async fn inputs(context: &Context, run: RunId) -> Result<Vec<InputFile>, DbError> {
    let reading =
        retry_on_outage(&context.db, context.lease, "read the list of input files", |mut conn| async move {
            input_files(&mut conn, run).await
        });
    reading.await
}

/// The tool that shows the names of the caller's files, although it reads none.
const LIST_FILES: &str = "list_files";

/// Whether a tool of the app can use the caller's files in the workspace. Other tools with a workspace only
/// write to it.
pub(super) fn uses_inputs(app: &AppDefinition) -> bool {
    app.reads_files() || app.tools.iter().any(|tool| tool == LIST_FILES)
}

/// Restores the workspace from the snapshot that the log names last. Downloads the caller's files if a tool
/// can use them.
pub(super) async fn open(
    context: &Context,
    claimed: &Claimed,
    (app, inputs): (&AppDefinition, &[InputFile]),
    transcript: &Transcript,
    slot: &WorkspaceSlot,
    budget: &Budget,
) -> Result<Workspace, Halt> {
    let run = claimed.id;
    let limits = app.limits.under(context.plans.get(&claimed.plan));
    let SandboxLimits { entries, depth, .. } = SandboxLimits::DEFAULT;
    let quota = Quota { bytes: limits.workspace_bytes.into(), entries, depth };
    let opening = async {
        let workspace = Workspace::make(&context.home, run, claimed.attempt, quota)?;
        let workspace = slot.get_or_init(|| workspace).clone();
        if uses_inputs(app) {
            workspace.fetch_inputs(&context.artifacts, inputs).await?;
        }
        if let Some(named) = transcript.snapshot() {
            workspace.restore(&context.artifacts, &Snapshot::read(run, named)?).await?;
            metrics::counter!("capi_workspaces_restored_total").increment(1);
        }
        if claimed.attempt > 1 {
            delete_leftovers(context, (run, claimed.attempt), &workspace).await;
        }
        Ok(workspace)
    };
    match timeout_at(budget.deadline(), opening).await {
        Ok(Ok(workspace)) => Ok(workspace),
        Ok(Err(error)) => Err(run_error(&error, None).into()),
        Err(_) => Err(budget.out_of_time(transcript.spent()).into()),
    }
}

/// What a call did to the workspace.
pub(super) enum Changed {
    Nothing,
    Stored(StoredSnapshot),
    /// The workspace holds more than it may. The snapshot holds all files.
    Over(StoredSnapshot),
    /// The workspace held more than a snapshot may. It is again as it was before the call.
    Undone(QuotaExceeded),
}

/// Stores a snapshot of the workspace, if it changed. The next recorded event must name it.
pub(super) async fn store_snapshot(agent: &Agent<'_, '_>) -> Result<Changed, RunError> {
    let Some(workspace) = &agent.workspace else { return Ok(Changed::Nothing) };
    let Ok(saved) = timeout_at(agent.budget.deadline(), save(agent, workspace)).await else {
        return Err(agent.budget.out_of_time(agent.log.transcript().spent()));
    };
    saved.map_err(|error| run_error(&error, Some(agent.log.transcript().spent().steps())))
}

async fn save(agent: &Agent<'_, '_>, workspace: &Workspace) -> Result<Changed, WorkspaceError> {
    let store = &agent.context.artifacts;
    let attempt = (agent.claimed.id, agent.claimed.attempt);
    let exceeded = match workspace.save(store, attempt, agent.log.next_seq()).await {
        Ok(None) => return Ok(Changed::Nothing),
        Ok(Some(snapshot)) if workspace.is_over_full().await? => return Ok(Changed::Over(snapshot.stored())),
        Ok(Some(snapshot)) => return Ok(Changed::Stored(snapshot.stored())),
        Err(WorkspaceError::QuotaExceeded(exceeded)) => exceeded,
        Err(error) => return Err(error),
    };
    let last = agent.log.transcript().snapshot();
    let last = last.map(|named| Snapshot::read(agent.claimed.id, named)).transpose()?;
    workspace.reset(store, last.as_ref()).await?;
    Ok(Changed::Undone(exceeded))
}

/// Deletes the objects that the recorded snapshot replaced. What fails is tried again after the next
/// snapshot, and at the end of the run.
pub(super) async fn delete_replaced(agent: &Agent<'_, '_>) {
    let Some(workspace) = &agent.workspace else { return };
    let mut left = workspace.take_replaced();
    let deleting = async {
        while let Some(key) = left.last() {
            agent.context.artifacts.delete(key).await?;
            left.pop();
        }
        Ok::<_, StorageError>(())
    };
    if !matches!(timeout(DELETE_TIMEOUT, deleting).await, Ok(Ok(()))) {
        tracing::warn!(objects = left.len(), "failed to delete objects of replaced snapshots");
        workspace.put_back_replaced(left);
    }
}

/// Deletes what former attempts stored and no event names. Newer attempts are left alone: this one may be
/// stale.
async fn delete_leftovers(context: &Context, (run, attempt): (RunId, i32), workspace: &Workspace) {
    let kept = workspace.snapshot_keys(run);
    let is_left = |key: &ObjectKey| {
        key.snapshot_attempt(run).is_some_and(|wrote| wrote < attempt) && !kept.contains(key)
    };
    if !delete_where(context, run, is_left).await {
        tracing::warn!("failed to delete what former attempts left in the store");
    }
}

/// Deletes the objects of a run that satisfy the condition. Returns false if that failed.
async fn delete_where(context: &Context, run: RunId, condition: impl Fn(&ObjectKey) -> bool) -> bool {
    let deleting = async {
        let mut stored = context.artifacts.list(Some(run));
        while let Some(object) = stored.next().await {
            let key = object?.key;
            if condition(&key) {
                context.artifacts.delete(&key).await?;
            }
        }
        Ok::<_, StorageError>(())
    };
    matches!(timeout(DELETE_TIMEOUT, deleting).await, Ok(Ok(())))
}

/// Deletes the bytes of an artifact that does not fit into the account's stored bytes. If this fails,
/// `store_gc` deletes them after a day.
pub(super) async fn delete_refused_artifact(agent: &Agent<'_, '_>, artifact: ArtifactId) {
    metrics::counter!("capi_quota_refusals_total", "quota" => "max_stored_bytes").increment(1);
    let key = ObjectKey::artifact(agent.claimed.id, artifact);
    match timeout(DELETE_TIMEOUT, agent.context.artifacts.delete(&key)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "failed to delete a refused artifact"),
        Err(error) => tracing::warn!(%error, "failed to delete a refused artifact"),
    }
}

pub(super) fn run_error(error: &WorkspaceError, step: Option<i32>) -> RunError {
    let (code, why) = match error {
        WorkspaceError::QuotaExceeded(exceeded) => {
            let why = format!("{exceeded}; raise limits.workspace_bytes, or ask for less");
            (ErrorCode::WorkspaceLimitExceeded, why)
        }
        WorkspaceError::Disk(_) => (ErrorCode::SandboxError, "the worker's disk cannot be used".to_owned()),
        WorkspaceError::Store(StorageError::Full(_)) => {
            (ErrorCode::ToolError, "the artifact store has no space left".to_owned())
        }
        WorkspaceError::Store(_) => (ErrorCode::ToolError, "the artifact store is not available".to_owned()),
        WorkspaceError::Changed(_) => {
            (ErrorCode::SandboxError, "the run's files differ from what was stored".to_owned())
        }
    };
    if !matches!(error, WorkspaceError::QuotaExceeded(_)) {
        metrics::counter!("capi_workspace_failures_total").increment(1);
        tracing::error!(%error, "failed to restore or store the workspace");
    }
    let place = step.map(|step| format!("step {step}: ")).unwrap_or_default();
    RunError::new(code, &format!("{place}{why}"), step)
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: FileId,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    r#type: String,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Text)]
    sha256: String,
}

async fn input_files(conn: &mut Connection, run: RunId) -> Result<Vec<InputFile>, DbError> {
    let sql = "SELECT id, name, type, size, encode(sha256, 'hex') AS sha256
               FROM run_files WHERE run_id = $1 ORDER BY position, name";
    let rows: Vec<Row> = statement(sql).bind::<SqlUuid, _>(run.uuid()).load(conn).await?;
    let file = |row: Row| InputFile {
        id: row.id,
        key: ObjectKey::file(run, row.id),
        name: row.name,
        media_type: row.r#type,
        size: row.size.unsigned_abs(),
        sha256: row.sha256,
    };
    Ok(rows.into_iter().map(file).collect())
}

/// Closes the workspace, if there is one: waits for its tasks and deletes its directory.
pub async fn close(slot: WorkspaceSlot) {
    if let Some(workspace) = slot.into_inner() {
        workspace.close().await;
    }
}

/// Deletes all snapshots of a run that is over, and the pictures that its tools showed.
pub async fn delete_snapshots(context: &Arc<Context>, run: RunId) {
    let is_done = |key: &ObjectKey| key.snapshot_attempt(run).is_some() || key.is_shown_picture(run);
    if !delete_where(context, run, is_done).await {
        tracing::warn!("failed to delete the snapshots and shown pictures of a run that is over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_tools_use_the_callers_files() {
        for (tools, expected) in [
            (vec![], false),
            (vec!["fetch_url", "web_search"], false),
            (vec!["edit_file", "write_file"], false),
            (vec!["fetch_url", "list_files"], true),
            (vec!["read_file"], true),
            (vec!["shell"], true),
        ] {
            let app = serde_json::json!({"name": "a", "prompt": "p", "tools": tools});
            let app: AppDefinition = serde_json::from_value(app).unwrap();
            assert_eq!(uses_inputs(&app), expected, "{:?}", app.tools);
        }
    }
}
