-- Tests, which are deleted after a day.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_pings
    ON webhook_deliveries (created_at) WHERE type = 'ping';
