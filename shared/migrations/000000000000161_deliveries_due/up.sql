-- Claims of deliveries that only dispatchers of this version send.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_due_at
    ON webhook_deliveries (lane_id, due_at) WHERE due_at IS NOT NULL;
