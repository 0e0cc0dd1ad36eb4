-- In the order of all writers: a claim that holds a slot waits for its runs.
LOCK TABLE user_slots, runs IN ACCESS EXCLUSIVE MODE;

DROP FUNCTION end_leases_of_v1(text);
DROP FUNCTION renew_leases_v1(uuid[], integer[], uuid[], interval);
DROP FUNCTION correct_slots_v1(uuid[]);
DROP FUNCTION claim_runs_v2(uuid[], integer[], integer, text, uuid, interval, jsonb, integer, boolean);
DROP FUNCTION lock_slots_v1(uuid[], boolean);
DROP FUNCTION worked_v1(timestamptz, timestamptz, timestamptz);
DROP FUNCTION late_commit_margin();
DROP FUNCTION webhook_id_v1(uuid, text, uuid);
DROP TRIGGER runs_place_updated ON runs;
DROP TRIGGER runs_place_inserted ON runs;
DROP FUNCTION keep_place();
ALTER TABLE user_slots RESET (fillfactor);
ALTER TABLE user_slots DROP COLUMN running, DROP COLUMN pending_from;
ALTER TABLE runs DROP COLUMN lease_claim, DROP COLUMN holds_place, DROP COLUMN worked_seconds,
    DROP COLUMN counted_at;
