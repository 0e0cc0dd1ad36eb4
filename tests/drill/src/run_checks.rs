//! Checks how the accepted runs ended.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use e2e::Stack;
use serde_json::Value;

use crate::load::Answers;
use crate::report::Report;

/// How long the last runs may take to end.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);

/// Waits until all runs are over, at most [`SETTLE_LIMIT`].
pub(crate) async fn settled(stack: &Stack) {
    let open = "SELECT count(*)::text AS text FROM runs WHERE completed_at IS NULL";
    let deadline = Instant::now() + SETTLE_LIMIT;
    while Instant::now() < deadline && stack.text(open).await != "0" {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Checks the runs in the database. Each must have the status `expected`.
pub(crate) async fn check_runs(
    report: &mut Report,
    stack: &Stack,
    accepted: &HashSet<String>,
    expected: &str,
) {
    count(report, stack, accepted).await;
    let ends = "SELECT status || ' ' || coalesce(error_code, '') || ': ' || count(*) AS text
                FROM runs GROUP BY status, error_code";
    let ends = stack.texts(ends).await;
    report.must(ends.iter().all(|end| end.starts_with(expected)), || format!("ends: {}", ends.join(", ")));
}

/// Checks that each run ended exactly once, with any status.
pub(crate) async fn count(report: &mut Report, stack: &Stack, accepted: &HashSet<String>) {
    settled(stack).await;
    let rows = stack.texts("SELECT id || ' ' || status AS text FROM runs").await;
    let statuses: HashMap<&str, &str> = rows.iter().filter_map(|row| row.split_once(' ')).collect();
    let over = |status: &&str| ["completed", "failed", "cancelled"].contains(status);
    report.accepted += accepted.len();
    let terminal = accepted.iter().filter(|id| statuses.get(id.as_str()).is_some_and(over)).count();
    report.terminal += terminal;
    report.lost += accepted.len() - terminal;
    // Clients repeat a create whose answer was lost, so an answer must name every row.
    report.doubled += statuses.keys().filter(|id| !accepted.contains(**id)).count();
    let twice = "SELECT run_id::text AS text FROM run_events
                 WHERE type IN ('run.completed', 'run.failed', 'run.cancelled')
                 GROUP BY run_id HAVING count(*) > 1";
    report.doubled += stack.texts(twice).await.len();
    let gaps = "SELECT r.id::text AS text FROM runs r
                WHERE r.last_seq <> (SELECT count(*) FROM run_events e WHERE e.run_id = r.id)";
    let gaps = stack.texts(gaps).await;
    report.must(gaps.is_empty(), || format!("logs with gaps: {gaps:?}"));
}

/// Checks the runs of a load. `refusals` says whether answers 503 are allowed.
pub(crate) async fn check_load(report: &mut Report, stack: &Stack, answers: Answers, refusals: bool) {
    let slowest = answers.percentile(100);
    let Answers { accepted, refused, broken, slowest_refusal, wrong, .. } = answers;
    report.notes.push(format!(
        "creates: {} accepted (the slowest after {slowest:.2?}), {refused} answers 503 (the slowest after \
         {slowest_refusal:.2?}), {broken} broken connections",
        accepted.len()
    ));
    report.must(refusals || refused == 0, || format!("{refused} creates were answered 503"));
    report.misses.extend(wrong);
    check_runs(report, stack, &accepted, "completed").await;
}

/// Returns the time from the last event of a lost attempt to the next attempt, for all runs. It is at least
/// the time since the last renewal.
pub(crate) async fn takeovers(stack: &Stack) -> Vec<Duration> {
    let sql = "SELECT extract(epoch FROM e.at - p.at)::text AS text FROM run_events e
               JOIN run_events p ON p.run_id = e.run_id AND p.seq = e.seq - 1
               WHERE e.type = 'run.taken_over'";
    let seconds = stack.texts(sql).await;
    seconds.iter().filter_map(|text| text.parse().ok()).map(Duration::from_secs_f64).collect()
}

/// How often the model may have been asked for each step: once by each attempt, from the attempt that
/// recorded the previous step to the attempt that recorded this step.
const ASKS: &str = "
SELECT substring(r.inputs ->> 'text' FROM 'run [0-9]+$') || ' ' || s.step || ' '
    || s.attempt - s.before + 1 AS text
FROM runs r JOIN (
    SELECT run_id, attempt, row_number() OVER log - 1 AS step, coalesce(lag(attempt) OVER log, 1) AS before
    FROM run_events WHERE type = 'message' AND data ->> 'role' = 'assistant'
    WINDOW log AS (PARTITION BY run_id ORDER BY seq)) s ON s.run_id = r.id";

/// The run and the step of a request to the model: the last two words of the prompt and the number of answers
/// so far.
fn step_asked_for(request: &Value) -> String {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |role| messages.iter().filter(move |message| message["role"] == role);
    let prompt = of("user").next().and_then(|message| message["content"].as_str()).unwrap_or_default();
    let run = prompt.rfind("run ").map_or("", |at| &prompt[at..]);
    format!("{run} {}", of("assistant").count())
}

/// Adds a miss if the model was asked again for a recorded answer. The text of a run must end with `run` and
/// a number.
pub(crate) async fn no_recorded_answer_was_asked_for_again(report: &mut Report, stack: &Stack) {
    let may = stack.texts(ASKS).await;
    let may: HashMap<&str, usize> = may
        .iter()
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(step, times)| Some((step, times.parse().ok()?)))
        .collect();
    let mut asked: HashMap<String, usize> = HashMap::new();
    for (_, request) in stack.model.asked() {
        *asked.entry(step_asked_for(&request)).or_default() += 1;
    }
    let in_all: usize = asked.values().sum();
    report.notes.push(format!("model: asked {in_all} times for {} recorded answers", may.len()));
    report.must(!may.is_empty(), || "no answer was recorded".to_owned());
    asked.retain(|step, times| *times > may.get(step.as_str()).copied().unwrap_or_default());
    report.must(asked.is_empty(), || format!("the model was asked again for recorded answers: {asked:?}"));
}
