//! The places of running runs, as `user_slots` counts them.

use e2e::Stack;

use crate::report::Report;

/// One statement, so it sees one state of the database: each commit must leave the counts right.
const WRONG: &str = "
SELECT concat_ws(' ', s.user_id, 'has', s.running, 'places and', coalesce(held.runs, 0), 'running') AS text
FROM user_slots s LEFT JOIN (
    SELECT user_id, count(*) AS runs FROM runs WHERE status = 'running' GROUP BY user_id) held USING (user_id)
WHERE s.running <> coalesce(held.runs, 0) OR held.runs > ";

/// Users whose counted places differ from their running runs, or that have more of them than `cap`.
pub(crate) async fn wrong_places(stack: &Stack, cap: usize) -> Vec<String> {
    stack.texts(&format!("{WRONG}{cap}")).await
}

/// Adds a miss if a count is wrong.
pub(crate) async fn check_places(report: &mut Report, stack: &Stack) {
    let wrong = wrong_places(stack, usize::MAX).await;
    report.must(wrong.is_empty(), || format!("places: {wrong:?}"));
}
