//! The help texts of the worker's metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) fn describe() {
    describe_runs();
    describe_tools();
}

fn describe_runs() {
    describe_gauge!("capi_leases_held", "Runs whose lease this worker holds.");
    describe_counter!(
        "capi_leases_released_total",
        "Runs that this worker dropped because they were cancelled or it lost the lease, by reason."
    );
    describe_counter!("capi_leases_taken_over_total", "Runs taken over from another worker.");
    describe_histogram!(
        "capi_cancel_release_duration_seconds",
        Unit::Seconds,
        "Time from a cancel until the worker stopped the run."
    );
    describe_counter!("capi_run_nudges_total", "Run nudges handled, by outcome: claimed a run, or nothing.");
    describe_histogram!(
        "capi_run_attempt_duration_seconds",
        Unit::Seconds,
        "Time that this worker spent on one attempt of a run."
    );
    describe_counter!("capi_run_finish_failures_total", "Runs whose end could not be recorded.");
    describe_counter!("capi_run_panics_total", "Runs that failed because the worker's code panicked.");
    describe_counter!("capi_store_objects_deleted_total", "Unreferenced objects deleted from the store.");
}

fn describe_tools() {
    describe_counter!(
        "capi_model_retries_total",
        "Requests to a model that were repeated, by model and code."
    );
    describe_counter!(
        "capi_tool_calls_total",
        "Tool calls, by tool and outcome: ok, returned_to_model (an error the model can handle) or fatal."
    );
    describe_histogram!("capi_tool_call_duration_seconds", Unit::Seconds, "Time of one tool call, by tool.");
    describe_counter!(
        "capi_fetch_refusals_total",
        "Requests of fetch_url that a rule refused, by reason: host, unknown_url, too_many_hosts or rate."
    );
    describe_gauge!("capi_sandbox_up", "1 if commands can run or the sandbox is off, else 0.");
    describe_gauge!("capi_sandbox_layer_missing", "1 for each layer of the sandbox that is missing.");
    describe_counter!("capi_sandbox_commands_total", "Commands that ended in the sandbox, by outcome.");
    describe_counter!("capi_sandbox_failures_total", "Commands that the sandbox could not start.");
    describe_counter!(
        "capi_sandbox_kill_timeouts_total",
        "Commands whose processes still existed 10 s after SIGKILL."
    );
    describe_counter!("capi_workspace_failures_total", "Workspaces that could not be read or stored.");
    describe_counter!(
        "capi_workspace_removal_failures_total",
        "Workspace directories that could not be removed."
    );
    describe_counter!("capi_workspace_snapshots_total", "Snapshots of workspaces stored.");
    describe_counter!("capi_workspace_snapshot_bytes_total", "Bytes of the stored snapshots.");
    describe_counter!("capi_workspaces_restored_total", "Workspaces restored from a snapshot.");
}
