-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_in_flight
    ON webhook_deliveries (lane_id) WHERE lease_owner IS NOT NULL;
