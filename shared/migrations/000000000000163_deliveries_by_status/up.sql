-- The lists of those that are open or failed. Most deliveries are delivered; they need no entry.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_by_status
    ON webhook_deliveries (user_id, status, created_at, id) WHERE status <> 'delivered';
