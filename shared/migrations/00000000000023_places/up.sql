-- Each claim and each takeover has an id of its own, which fences the writes of its worker. After a failover
-- that lost transactions two workers may hold the same attempt of a run, but never the same claim. Workers of
-- the former version write none.
ALTER TABLE runs
    ADD COLUMN lease_claim uuid,
    -- Whether the run is counted in user_slots.running.
    ADD COLUMN holds_place boolean NOT NULL DEFAULT false,
    -- Seconds in which a worker worked on the run, up to `counted_at`: the claim, the last renewal or the last
    -- recorded step. The time in which a lease expired does not count.
    ADD COLUMN worked_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN counted_at timestamptz;

-- The user's runs that hold a place. A claim reads it instead of counting rows: beside a transaction that stays
-- open, dead entries of the index make such a count dearer with each run.
ALTER TABLE user_slots
    ADD COLUMN running integer NOT NULL DEFAULT 0,
    -- All pending runs that were created before this time are started. Null: unknown. A run whose create
    -- committed late may be older; the sweeper finds it and corrects the bound.
    ADD COLUMN pending_from timestamptz;
ALTER TABLE user_slots SET (fillfactor = 50);

UPDATE runs SET holds_place = true, counted_at = capi_now() WHERE status = 'running';
UPDATE user_slots s SET running = held.count
FROM (SELECT user_id, count(*)::integer AS count FROM runs WHERE status = 'running' GROUP BY user_id) held
WHERE s.user_id = held.user_id;

-- The functions that start and end runs keep both columns themselves, for a whole set at once. These triggers
-- do it for all other writers: services of the former version, and operators. They lock the slot after the run,
-- so such a writer may lose a deadlock against a claim, and repeats its statement.
CREATE FUNCTION keep_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.holds_place <> (NEW.status = 'running') THEN
        NEW.holds_place := NEW.status = 'running';
        UPDATE user_slots s SET running = s.running + CASE WHEN NEW.holds_place THEN 1 ELSE -1 END
        WHERE s.user_id = NEW.user_id;
        NEW.counted_at := CASE WHEN NEW.holds_place THEN capi_now() END;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.lease_owner IS DISTINCT FROM OLD.lease_owner
        AND NEW.lease_claim IS NOT DISTINCT FROM OLD.lease_claim THEN
        NEW.lease_claim := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER runs_place_inserted BEFORE INSERT ON runs FOR EACH ROW WHEN (NEW.status = 'running')
    EXECUTE FUNCTION keep_place();
CREATE TRIGGER runs_place_updated BEFORE UPDATE ON runs FOR EACH ROW
    WHEN (NEW.holds_place <> (NEW.status = 'running')
        OR (NEW.lease_owner IS DISTINCT FROM OLD.lease_owner AND NEW.lease_claim IS NOT NULL
            AND NEW.lease_claim IS NOT DISTINCT FROM OLD.lease_claim))
    EXECUTE FUNCTION keep_place();

-- The webhook-id of an event of a run: always the same for the same event, so that an end that is lost in a
-- failover and recorded again keeps its id. `p_part` says which of several the event is about. Like a UUIDv7 it
-- begins with the time of the run; the rest is a hash (UUIDv8, RFC 9562).
-- In PL/pgSQL, whose plans are kept: a function in SQL is planned anew by each statement that calls it.
CREATE FUNCTION webhook_id_v1(p_run uuid, p_type text, p_part uuid) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    v_id bytea := substring(uuid_send(p_run) FROM 1 FOR 6) || substring(
        sha256(uuid_send(p_run) || convert_to(p_type, 'UTF8') || coalesce(uuid_send(p_part), '')) FROM 1 FOR 10);
BEGIN
    RETURN encode(set_byte(set_byte(v_id, 6, get_byte(v_id, 6) & 15 | 128), 8, get_byte(v_id, 8) & 63 | 128),
        'hex');
END $$;
