//! The filters of a list of webhook deliveries, as a query gives them.

use gateway_domain::deliveries::Filters;
use shared::deliveries::DeliveryStatus;

use super::Query;

pub fn read_delivery_filters(query: &mut Query) -> Filters {
    Filters {
        run: query.value("runId", "a run's id"),
        status: read_delivery_statuses(query),
        after: query.time("createdAfter"),
        before: query.time("createdBefore"),
    }
}

/// The values of `status`, in one order and each once.
pub fn read_delivery_statuses(query: &mut Query) -> Vec<DeliveryStatus> {
    query.any_of("status", &DeliveryStatus::ALL.map(DeliveryStatus::as_str))
}
