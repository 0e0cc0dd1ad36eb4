-- The list of an account's deliveries.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_by_user
    ON webhook_deliveries (user_id, created_at, id);
