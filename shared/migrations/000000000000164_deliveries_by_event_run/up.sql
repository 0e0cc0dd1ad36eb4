-- The deliveries of a run, and the deletion of a run.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_by_event_run
    ON webhook_deliveries (event_run_id) WHERE event_run_id IS NOT NULL;
