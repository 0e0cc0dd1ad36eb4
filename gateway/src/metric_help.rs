//! The help texts of the gateway's metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) fn describe() {
    describe_histogram!(
        "capi_http_request_duration_seconds",
        Unit::Seconds,
        "Time to answer a request, by route and status."
    );
    describe_counter!("capi_problems_total", "Problems answered, by code.");
    describe_counter!(
        "capi_requests_rate_limited_total",
        "Requests answered 429, by limiter: window, cached_window (known without a database call) or \
         flood_guard; unread_answers counts those whose account does not read its large answers, and \
         refused_uploads forms with files of accounts that had too many of them refused."
    );
    describe_counter!(
        "capi_in_flight_refusals_total",
        "Forms with files (uploads), large JSON bodies (json) and pages with many rows (reports) that were \
         refused because too many are in flight, by limit: account or gateway."
    );
    describe_counter!("capi_runs_created_total", "Runs created by this gateway.");
    describe_counter!(
        "capi_overdue_runs_left_out_total",
        "Overdue runs that the database refused to end. They are tried again after a growing time."
    );
    describe_counter!(
        "capi_idempotent_replays_total",
        "Creates answered with the run that an earlier request with the same Idempotency-Key created."
    );
    describe_counter!("capi_sign_ins_total", "Attempts to sign in, by outcome: ok, refused or throttled.");
    describe_counter!(
        "capi_unlisted_proxy_requests_total",
        "Requests that a proxy forwarded which CAPI_TRUSTED_PROXIES does not list."
    );
    describe_counter!(
        "capi_console_forms_rejected_total",
        "Console forms rejected because another site sent them."
    );
    describe_counter!(
        "capi_deltas_dropped_total",
        "Messages with words of models that were dropped because the broker or a stream was too slow."
    );
    describe_gauge!("capi_open_streams", "Event streams of the API and of console pages that are open.");
    describe_counter!(
        "capi_streams_ended_total",
        "Event streams that ended, by face (api or console) and reason: run_over, run_deleted, not_allowed \
         (key, plan or session), no_place, drain, longest, failed, or client (it disconnected or was cut)."
    );
}
