//! The help texts of the worker's metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) fn describe() {
    describe_runs();
    describe_retention();
    describe_tools();
}

fn describe_retention() {
    describe_counter!(
        "capi_retention_rows_deleted_total",
        "Rows deleted because the plan's retention is over, by kind."
    );
    describe_counter!("capi_retention_failures_total", "Retention passes that ended with an error.");
    describe_gauge!(
        "capi_retention_last_pass_timestamp_seconds",
        Unit::Seconds,
        "When the last complete retention pass of any worker ended, in seconds since 1970."
    );
    describe_gauge!(
        "capi_retention_oldest_run_age_seconds",
        Unit::Seconds,
        "Age of the oldest ended run that the last pass of this worker found under a retention."
    );
}

fn describe_runs() {
    describe_gauge!("capi_leases_held", "Runs whose lease this worker holds.");
    describe_counter!(
        "capi_leases_released_total",
        "Runs that this worker dropped because they were cancelled or it lost the lease, by reason."
    );
    describe_counter!("capi_leases_taken_over_total", "Runs taken over from another worker.");
    describe_counter!(
        "capi_claims_in_doubt_total",
        "Claims and takeovers whose answer was lost. The worker gives their runs back."
    );
    describe_counter!(
        "capi_slots_corrected_total",
        "Accounts whose count of running runs, or whose oldest pending run, the sweeper set right."
    );
    describe_counter!(
        "capi_runs_isolated_total",
        "Runs taken alone, because they lost two workers without recording a step."
    );
    describe_counter!(
        "capi_dead_neighbours_total",
        "Dead workers of the same machine whose leases this worker ended."
    );
    describe_counter!(
        "capi_database_clock_jumps_total",
        "Jumps of the database's clock that this worker noticed, by direction: ahead or back."
    );
    describe_counter!(
        "capi_runs_sent_elsewhere_total",
        "Runs given back because this worker lacks their model or search provider."
    );
    describe_histogram!(
        "capi_cancel_release_duration_seconds",
        Unit::Seconds,
        "Time from a cancel until the worker stopped the run."
    );
    describe_counter!(
        "capi_run_nudges_total",
        "Run nudges handled, by outcome: claimed a run, nothing, isolated (a run must be alone) or locked \
         (earlier claims wait for locks, and their ends nudge again)."
    );
    describe_histogram!(
        "capi_run_attempt_duration_seconds",
        Unit::Seconds,
        "Time that this worker spent on one attempt of a run."
    );
    describe_counter!("capi_run_finish_failures_total", "Runs whose end could not be recorded.");
    describe_counter!("capi_run_panics_total", "Runs that failed because the worker's code panicked.");
    describe_counter!("capi_store_objects_deleted_total", "Unreferenced objects deleted from the store.");
    describe_gauge!(
        "capi_store_sweep_candidates",
        "Unreferenced objects that the last pass of this worker found in the store."
    );
    describe_counter!(
        "capi_store_sweeps_refused_total",
        "Passes over the store that deleted nothing, by reason: installation (the store belongs to another \
         one) or share (most objects look unreferenced)."
    );
}

fn describe_tools() {
    describe_counter!(
        "capi_deltas_dropped_total",
        "Messages with words of models that were dropped because the broker or a stream was too slow."
    );
    describe_counter!(
        "capi_model_corrections_total",
        "Settings that this worker corrected because a model's server refused them, by model."
    );
    describe_counter!(
        "capi_model_retries_total",
        "Requests to a model that were repeated, by model and code."
    );
    describe_counter!(
        "capi_tool_calls_total",
        "Tool calls, by tool and outcome: ok, returned_to_model (an error the model can handle) or fatal."
    );
    describe_counter!(
        "capi_last_answers_total",
        "Last answers that models were asked for because a limit of the run was used up, by limit."
    );
    describe_histogram!("capi_tool_call_duration_seconds", Unit::Seconds, "Time of one tool call, by tool.");
    describe_counter!(
        "capi_fetch_refusals_total",
        "Requests of fetch_url that a rule refused, by reason: host, unknown_url, too_many_hosts or rate."
    );
    describe_counter!(
        "capi_document_reads_total",
        "Documents read as text, by kind and outcome: text, or why there is none."
    );
    describe_counter!(
        "capi_searches_total",
        "Searches of web_search, by provider and outcome: ok, empty, or why there was no answer."
    );
    describe_counter!(
        "capi_search_results_dropped_total",
        "Search results that the model was not shown, by provider and reason: private or unusable (address)."
    );
    describe_gauge!("capi_sandbox_up", "1 if commands can run or the sandbox is off, else 0.");
    describe_gauge!("capi_sandbox_layer_missing", "1 for each layer of the sandbox that is missing.");
    describe_gauge!(
        "capi_sandbox_kit_read",
        "1 if the worker could read the list of the sandbox's kit, else 0."
    );
    describe_counter!("capi_sandbox_commands_total", "Commands that ended in the sandbox, by outcome.");
    describe_counter!("capi_sandbox_failures_total", "Commands that the sandbox could not start.");
    describe_counter!(
        "capi_sandbox_kill_timeouts_total",
        "Commands whose processes still existed 10 s after SIGKILL."
    );
    describe_counter!(
        "capi_pictures_total",
        "Pictures read for models, by outcome: ready, or why the model could not be shown the picture."
    );
    describe_counter!("capi_workspace_failures_total", "Workspaces that could not be read or stored.");
    describe_counter!(
        "capi_workspace_over_limit_total",
        "Calls that left a workspace over its limit, by outcome: kept (the model may clean up) or undone."
    );
    describe_counter!(
        "capi_workspace_removal_failures_total",
        "Workspace directories that could not be removed."
    );
    describe_counter!("capi_workspace_snapshots_total", "Snapshots of workspaces stored.");
    describe_counter!("capi_workspace_snapshot_bytes_total", "Bytes of the stored snapshots.");
    describe_histogram!(
        "capi_workspace_snapshot_duration_seconds",
        Unit::Seconds,
        "Time to store a snapshot, or to find that nothing changed."
    );
    describe_counter!("capi_workspaces_restored_total", "Workspaces restored from a snapshot.");
}
