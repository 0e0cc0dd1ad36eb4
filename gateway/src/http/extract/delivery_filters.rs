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
    let mut status = Vec::new();
    for text in query.all("status") {
        match text.parse() {
            Ok(known) if status.contains(&known) => {}
            Ok(known) => status.push(known),
            Err(_) => {
                let all = DeliveryStatus::ALL.map(DeliveryStatus::as_str);
                query.wrong("status", &format!("status must be one of: {}", all.join(", ")));
            }
        }
    }
    status.sort_unstable();
    status
}
