-- The open deliveries by the begin of their schedule, to end those whose time is over.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_open_since
    ON webhook_deliveries (coalesce(scheduled_at, created_at)) WHERE status IN ('pending', 'retrying');
