DROP FUNCTION delete_old_runs_v2(uuid, jsonb, integer, integer);
DROP TRIGGER artifacts_delivered ON artifacts;
DROP FUNCTION add_artifact_delivery();
DROP TRIGGER runs_started ON runs;
DROP FUNCTION add_started_delivery();
DROP TRIGGER webhook_deliveries_wanted ON webhook_deliveries;
DROP FUNCTION keep_wanted_delivery();
DROP FUNCTION webhook_lane_v1(uuid, text);
DROP FUNCTION capi_uuid_v7(timestamptz);
DROP FUNCTION webhook_error_code_v1(text, text, integer);
ALTER TABLE runs DROP COLUMN webhook_events;
DELETE FROM webhook_deliveries WHERE run_id IS NULL;
-- The former version sends them by next_attempt_at.
UPDATE webhook_deliveries SET next_attempt_at = due_at, due_at = NULL WHERE due_at IS NOT NULL;
ALTER TABLE webhook_attempts
    DROP COLUMN error_code,
    DROP CONSTRAINT webhook_attempts_delivery_id_fkey,
    ADD CONSTRAINT webhook_attempts_delivery_id_fkey
        FOREIGN KEY (delivery_id) REFERENCES webhook_deliveries NOT VALID;
ALTER TABLE webhook_deliveries
    DROP CONSTRAINT webhook_deliveries_due_once,
    DROP CONSTRAINT webhook_deliveries_type_known,
    ADD CONSTRAINT webhook_deliveries_type_check
        CHECK (type IN ('run.completed', 'run.failed', 'run.cancelled')) NOT VALID,
    DROP COLUMN scheduled_at,
    DROP COLUMN earlier_attempts,
    DROP COLUMN due_at,
    DROP COLUMN artifact_id,
    DROP COLUMN app_id,
    DROP COLUMN event_run_id,
    ALTER COLUMN run_id SET NOT NULL;
