DROP FUNCTION claim_run_v1(uuid, text, interval, jsonb, integer);
DROP TABLE run_events;
DROP FUNCTION capi_uuid_floor(timestamptz);
DROP TABLE runs;
