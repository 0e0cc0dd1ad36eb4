CREATE OR REPLACE FUNCTION add_started_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := capi_now();
BEGIN
    INSERT INTO webhook_deliveries
        (id, lane_id, user_id, event_run_id, type, url, status, next_attempt_at, due_at, created_at)
    VALUES (capi_uuid_v7(v_now), webhook_lane_v1(NEW.user_id, NEW.webhook_host), NEW.user_id, NEW.id,
        'run.started', NEW.webhook_url, 'pending', 'infinity', v_now, v_now);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION add_artifact_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := capi_now();
    v_run record;
BEGIN
    SELECT r.id, r.user_id, r.webhook_url, r.webhook_host INTO v_run FROM runs r
    WHERE r.id = NEW.run_id AND 'run.artifact' = ANY (r.webhook_events);
    IF FOUND THEN
        INSERT INTO webhook_deliveries
            (id, lane_id, user_id, event_run_id, artifact_id, type, url, status, next_attempt_at, due_at,
             created_at)
        VALUES (capi_uuid_v7(v_now), webhook_lane_v1(v_run.user_id, v_run.webhook_host), v_run.user_id,
            v_run.id,
            NEW.id, 'run.artifact', v_run.webhook_url, 'pending', 'infinity', v_now, v_now);
    END IF;
    RETURN NULL;
END $$;
DROP FUNCTION record_deliveries_v1(uuid[], integer[], text[], text[], interval[], timestamptz[], integer[],
    integer[], text[], text[], text[], uuid[], integer[], interval[], integer[], boolean);
DROP FUNCTION claim_deliveries_v3(uuid[], text, interval, integer, integer, uuid[], integer[], integer[],
    uuid[], integer, integer, boolean);
DROP FUNCTION webhook_lanes_due_v2(uuid, integer, bigint, integer, interval);
DROP FUNCTION move_lane_bounds_v1(uuid[], interval, interval, timestamptz);
DROP FUNCTION webhook_lane_due_v1(uuid, timestamptz, boolean, interval, timestamptz, integer);
DROP FUNCTION webhook_lane_room_v1(uuid, timestamptz, boolean, integer, interval, timestamptz);
DROP FUNCTION webhook_lane_is_closed_v1(timestamptz, timestamptz);
DROP FUNCTION webhook_lease_is_over_v1(timestamptz, interval, timestamptz);
ALTER TABLE webhook_deliveries DROP COLUMN lost_claims;
