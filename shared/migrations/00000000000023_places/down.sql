DROP FUNCTION webhook_id_v1(uuid, text, uuid);
DROP TRIGGER runs_place_updated ON runs;
DROP TRIGGER runs_place_inserted ON runs;
DROP FUNCTION keep_place();
ALTER TABLE user_slots RESET (fillfactor);
ALTER TABLE user_slots DROP COLUMN running, DROP COLUMN pending_from;
ALTER TABLE runs DROP COLUMN lease_claim, DROP COLUMN holds_place, DROP COLUMN worked_seconds, DROP COLUMN counted_at;
