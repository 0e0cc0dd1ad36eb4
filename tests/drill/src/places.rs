//! The places of running runs, as `user_slots` counts them.

use e2e::Stack;

use crate::report::Report;

/// Users whose counted places differ from their running runs.
const WRONG: &str = "
SELECT concat_ws(' ', s.user_id, 'has', s.running, 'places and', coalesce(held.runs, 0), 'running runs') AS text
FROM user_slots s LEFT JOIN (
    SELECT user_id, count(*) AS runs FROM runs WHERE status = 'running' GROUP BY user_id) held USING (user_id)
WHERE s.running <> coalesce(held.runs, 0)";

/// Adds a miss if a count is wrong. It must be right after each commit.
pub(crate) async fn check_places(report: &mut Report, stack: &Stack) {
    let wrong = stack.texts(WRONG).await;
    report.must(wrong.is_empty(), || format!("places: {wrong:?}"));
}
