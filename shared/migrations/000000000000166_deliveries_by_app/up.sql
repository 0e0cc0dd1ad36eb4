-- The list of the deliveries of one app's runs.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_by_app
    ON webhook_deliveries (user_id, app_id, status, created_at, id) WHERE type <> 'ping';
