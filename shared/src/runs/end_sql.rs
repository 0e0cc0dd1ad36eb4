//! The SQL that all ends of a run share. Each end is one statement that writes the final status, the last
//! events and the webhook delivery, so that either all of them are stored or none.

/// Follows the update of the run's row, the CTE `done`: appends the last events and creates the webhook
/// delivery if the run has a webhook URL. `$3` is the status, `$4` and `$5` are the events, `$6` and `$7` new
/// ids.
///
/// The statement inserts the lane only if it does not exist. If another statement inserts it concurrently, DO
/// UPDATE returns that row. DO NOTHING would return no row, and the delivery would be lost.
macro_rules! log_and_deliver {
    () => {
        "), logged AS (
    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT d.id, d.last_seq - cardinality($4) + e.number, e.type, d.completed_at, d.attempt, e.data
    FROM done d, unnest($4, $5) WITH ORDINALITY AS e (type, data, number)
), known_lane AS (
    SELECT l.id FROM webhook_lanes l JOIN done d ON l.user_id = d.user_id AND l.host = d.webhook_host
), made_lane AS (
    INSERT INTO webhook_lanes (id, user_id, host)
    SELECT $6, d.user_id, d.webhook_host FROM done d
    WHERE d.webhook_url IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known_lane)
    ON CONFLICT (user_id, host) DO UPDATE SET host = EXCLUDED.host
    RETURNING id
), delivery AS (
    INSERT INTO webhook_deliveries
        (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
    SELECT $7, l.id, d.user_id, d.id, 'run.' || $3, d.webhook_url, 'pending', d.completed_at, d.completed_at
    FROM done d, (SELECT id FROM known_lane UNION ALL SELECT id FROM made_lane) l
    RETURNING lane_id
)
SELECT d.user_id, (SELECT lane_id FROM delivery) AS lane_id FROM done d"
    };
}

/// The partial result of run `$1`: the last text that the model wrote, and the web pages that the run used.
/// Null if the run has neither text nor artifacts.
macro_rules! partial_result {
    () => {
        concat!(
            "(
            SELECT jsonb_build_object('text', coalesce(last.text, ''), 'partial', true)
                || coalesce(used.sources, '{}')
            FROM (SELECT (
                SELECT e.data ->> 'content' FROM run_events e
                WHERE e.run_id = $1 AND e.type = 'message' AND e.data ->> 'role' = 'assistant'
                    AND e.data ->> 'content' ~ '\\S'
                ORDER BY e.seq DESC LIMIT 1) AS text) last
            LEFT JOIN LATERAL (",
            crate::runs::end_sql::sources_of_run!(),
            ") used ON true
            WHERE last.text IS NOT NULL OR EXISTS (SELECT 1 FROM artifacts f WHERE f.run_id = $1))"
        )
    };
}

/// The sources of run `$1`, as [`super::outcome::RunSource`], whose bounds they keep. `last.text` is the text
/// of the result. A page is cited if that text holds its number in brackets: the worker, which also finds
/// lists of numbers and URLs, is not there. The uses `cited`, `read` and `searched` sort from the strongest
/// to the weakest.
macro_rules! sources_of_run {
    () => {
        "
            SELECT jsonb_build_object('sources', jsonb_agg(s.source ORDER BY s.id)) AS sources
            FROM (
                SELECT p.id, jsonb_build_object('id', p.id, 'url', p.url, 'title', p.title, 'how', u.how)
                    AS source
                FROM (
                    SELECT f.page -> 'id' AS id, f.page ->> 'url' AS url, min(f.page ->> 'how') AS how,
                        left(coalesce((array_agg(f.page ->> 'title' ORDER BY e.seq, f.number)
                            FILTER (WHERE f.page ->> 'title' <> ''))[1], ''), 300) AS title
                    FROM run_events e
                    CROSS JOIN LATERAL jsonb_array_elements(
                        CASE WHEN jsonb_typeof(e.data -> 'sources') = 'array' THEN e.data -> 'sources'
                        ELSE '[]' END) WITH ORDINALITY AS f (page, number)
                    WHERE e.run_id = $1 AND e.type = 'tool.result' AND length(f.page ->> 'url') <= 2048
                    GROUP BY 1, 2) p
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN strpos(last.text, '[' || p.id::text || ']') > 0 THEN 'cited'
                        ELSE p.how END AS how) u
                ORDER BY u.how, p.id LIMIT 300) s
            HAVING count(*) > 0"
    };
}

pub(super) use {log_and_deliver, partial_result, sources_of_run};
