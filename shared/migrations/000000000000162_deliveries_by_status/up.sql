-- The list of an account's deliveries. One that is not filtered merges the lists of all statuses.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_by_status
    ON webhook_deliveries (user_id, status, created_at, id) WHERE type <> 'ping';
