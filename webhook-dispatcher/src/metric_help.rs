//! The help texts of the dispatcher's metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) fn describe() {
    describe_counter!(
        "capi_webhook_attempts_total",
        "Delivery attempts, by the status of the delivery after the attempt."
    );
    describe_counter!(
        "capi_webhook_deliveries_failed_total",
        "Deliveries given up: the last attempt of their schedule failed, or the receiver answered 410."
    );
    describe_counter!(
        "capi_webhook_lane_closings_total",
        "How often a lane was closed because its receiver failed several times in a row."
    );
    describe_gauge!(
        "capi_webhook_lanes_closed",
        "Lanes that are closed now, as the last look saw them. Each dispatcher reports all of them."
    );
    describe_histogram!(
        "capi_webhook_attempt_duration_seconds",
        Unit::Seconds,
        "Time of one delivery attempt, from connecting to the last byte."
    );
    describe_counter!(
        "capi_webhook_deliveries_given_back_total",
        "Claimed deliveries given back unsent, because the database was down or slow."
    );
    describe_counter!(
        "capi_webhook_claims_lost_total",
        "Claims of deliveries right after one whose lease expired: its dispatcher died or could not record."
    );
}
