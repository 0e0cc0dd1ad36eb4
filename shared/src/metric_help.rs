//! The help texts of the metrics that all services have.

use metrics::{describe_counter, describe_gauge, describe_histogram};

pub(crate) fn describe() {
    describe_database();
    describe_sets();
    describe_counter!(
        "capi_broker_connection_failures_total",
        "Connections to the broker that failed or were lost, by role."
    );
    describe_queues();
    describe_counter!(
        "capi_quota_refusals_total",
        "Creates, artifacts and versions of apps refused because of a quota of the account's plan, by quota."
    );
    describe_gauge!("capi_hung_threads", "Kinds of threads that are blocked. The process then is not ready.");
    describe_gauge!("capi_dead_letters", "Messages in the dead-letter queue, by queue.");
    describe_counter!(
        "capi_definition_checks_total",
        "Checks and uses of prompts and schemas, by kind and outcome: done, refused, busy or unavailable."
    );
    describe_counter!(
        "capi_definition_checkers_ended_total",
        "Checker processes that a prompt or a schema ended, by kind and by reason: time, memory or panic."
    );
    describe_counter!("capi_artifact_store_failures_total", "Calls to the artifact store that failed.");
    describe_counter!(
        "capi_artifact_store_full_total",
        "Uploads refused because the artifact store has no space left."
    );
    describe_gauge!(
        "capi_store_foreign",
        "1 if the artifact store belongs to another installation than the database, else 0."
    );
    describe_counter!(
        "capi_runs_ended_total",
        "Runs that ended, by status and by error code. Each end is counted by the process that recorded it."
    );
    describe_counter!(
        "capi_stale_writes_total",
        "Writes that the fence rejected, because another process holds the run or the delivery."
    );
}

fn describe_database() {
    describe_counter!("capi_database_calls_total", "Calls to PostgreSQL.");
    describe_counter!(
        "capi_database_conflicts_total",
        "Calls repeated after a deadlock or a serialization failure."
    );
    describe_counter!(
        "capi_database_connection_failures_total",
        "Calls that got no connection to PostgreSQL."
    );
    describe_counter!(
        "capi_database_connections_discarded_total",
        "Connections closed because their last call was abandoned or failed."
    );
    describe_gauge!(
        "capi_database_writes_in_doubt",
        "Writes whose callers gave up and that PostgreSQL has not answered, by pool. Each keeps a connection."
    );
    describe_counter!(
        "capi_database_writes_refused_total",
        "Writes that failed at once because PostgreSQL does not answer earlier ones, by pool."
    );
    describe_gauge!(
        "capi_database_oldest_transaction_seconds",
        "Age of the oldest open transaction of capi's role, or of all roles for a member of pg_monitor."
    );
    describe_gauge!(
        "capi_database_transactions_since_oldest",
        "Transactions since the oldest open one began. PostgreSQL keeps all rows that they replaced."
    );
}

fn describe_queues() {
    describe_counter!(
        "capi_broadcasts_dropped_total",
        "Broadcasts dropped because the send buffer was full."
    );
    describe_counter!("capi_nudges_dropped_total", "Nudges dropped because the send buffer was full.");
    describe_counter!(
        "capi_nudges_published_total",
        "Messages with nudges sent to the broker, by outcome: confirmed, or lost without a confirm."
    );
    describe_counter!(
        "capi_nudges_merged_total",
        "Nudges added to the message of another one that waited for the broker too, by queue."
    );
    describe_counter!(
        "capi_nudges_spared_total",
        "Nudges of creates not sent because the queue holds many messages already, by queue."
    );
    describe_counter!(
        "capi_nudges_put_back_total",
        "Nudges sent to the queue again, by queue: no permit was free, or a lock was taken."
    );
    describe_counter!(
        "capi_messages_newer_total",
        "Messages of a newer version that were put back, by queue. A newer process reads them."
    );
    describe_counter!(
        "capi_nudges_failed_total",
        "Nudges that the database rejected. They are not requeued."
    );
    describe_counter!(
        "capi_messages_undecodable_total",
        "Messages that were no nudge and were dead-lettered."
    );
    describe_counter!("capi_sweeper_nudges_total", "Nudges that a sweeper sent for waiting work, by queue.");
}

fn describe_sets() {
    describe_histogram!("capi_database_set_size", "Calls in one set of a database statement, by call.");
    describe_counter!(
        "capi_database_sets_failed_total",
        "Sets of database calls that failed and were done one by one, by call."
    );
}
