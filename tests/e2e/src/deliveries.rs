//! Due webhooks in bulk, without runs that workers execute.

use shared::ids::AppId;
use shared::queue::{Nudge, WorkQueue};

use crate::Stack;

/// Rows of one statement, which has 10 s.
const CHUNK: usize = 5000;

const ADD: &str = "
WITH given AS (
    SELECT gen_random_uuid() AS id, gen_random_uuid() AS delivery,
        replace('{url}', '*', (n % {hosts})::text) AS url, replace('{host}', '*', (n % {hosts})::text) AS host
    FROM generate_series(1, {count}) n
), owner AS (
    SELECT a.id AS app, a.user_id, v.id AS version FROM apps a JOIN app_versions v ON v.app_id = a.id
    WHERE a.id = '{app}' ORDER BY v.version DESC LIMIT 1
), r AS (
    INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs, chat_model_id,
        metadata, created_at, completed_at, last_seq, webhook_url, webhook_host)
    SELECT g.id, o.user_id, o.app, o.version, 'api', 'cancelled', 't', '{}', 'm',
        '{}', capi_now(), capi_now(), 1, g.url, g.host
    FROM given g, owner o
), lanes AS (
    INSERT INTO webhook_lanes (id, user_id, host)
    SELECT gen_random_uuid(), o.user_id, hosts.host FROM (SELECT DISTINCT host FROM given) hosts, owner o
    ON CONFLICT (user_id, host) DO UPDATE SET host = EXCLUDED.host
    RETURNING id, host
)
INSERT INTO webhook_deliveries (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
SELECT g.delivery, l.id, o.user_id, g.id, 'run.cancelled', g.url, 'pending', capi_now(), capi_now()
FROM given g JOIN lanes l USING (host), owner o";

impl Stack {
    /// Adds webhooks of `count` runs of the app that are over. `*` in the URL becomes a number below `hosts`.
    /// Sends a nudge for each lane.
    pub async fn add_webhooks(&self, app: AppId, url: &str, hosts: usize, count: usize) {
        let host = url.split('/').nth(2).unwrap_or_default();
        for done in (0..count).step_by(CHUNK) {
            let sql = ADD
                .replace("{app}", &app.to_string())
                .replace("{url}", url)
                .replace("{host}", host)
                .replace("{hosts}", &hosts.to_string())
                .replace("{count}", &CHUNK.min(count - done).to_string());
            self.database.run_sql(sql).await;
        }
        let pattern = host.replace('*', "%");
        let lanes = format!(
            "SELECT l.id::text AS text FROM webhook_lanes l JOIN apps a USING (user_id)
             WHERE a.id = '{app}' AND l.host LIKE '{pattern}' LIMIT 20"
        );
        for lane in self.texts(&lanes).await {
            let id = lane.parse().expect("an id is a UUID");
            self.queues.publish(WorkQueue::Deliveries, &Nudge::new(id).encode()).await;
        }
    }
}
