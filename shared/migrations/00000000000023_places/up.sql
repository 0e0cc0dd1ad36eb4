-- In the order of all writers: a claim that holds a slot waits for its runs.
LOCK TABLE user_slots, runs IN ACCESS EXCLUSIVE MODE;

-- Each claim and each takeover has an id of its own, which fences the writes of its worker. After a failover
-- that lost transactions two workers may hold the same attempt of a run, but never the same claim. Workers of
-- the former version write none.
ALTER TABLE runs
    ADD COLUMN lease_claim uuid,
    -- Whether the run is counted in user_slots.running.
    ADD COLUMN holds_place boolean NOT NULL DEFAULT false,
    -- Seconds in which a worker worked on the run, up to `counted_at`: the claim, the last renewal or the
    -- last recorded step. The time after a lease expired does not count.
    ADD COLUMN worked_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN counted_at timestamptz;

-- The user's runs that hold a place. A claim reads it instead of counting rows: beside a transaction that
-- stays open, each run adds dead entries to the index, and such a count would read them all.
ALTER TABLE user_slots
    ADD COLUMN running integer NOT NULL DEFAULT 0,
    -- All pending runs that were created before this time are started. Null: unknown. A run whose create
    -- committed late may be older; the sweeper finds it and corrects the bound.
    ADD COLUMN pending_from timestamptz;
ALTER TABLE user_slots SET (fillfactor = 50);

UPDATE runs SET holds_place = true, counted_at = capi_now(),
    worked_seconds = coalesce(extract(epoch FROM capi_now() - started_at), 0)
WHERE status = 'running';
UPDATE user_slots s SET running = held.count
FROM (SELECT user_id, count(*)::integer AS count FROM runs WHERE status = 'running' GROUP BY user_id) held
WHERE s.user_id = held.user_id;

-- The functions that start and end runs keep both columns themselves, for a whole set at once. These triggers
-- do it for all other writers: services of the former version, and operators. They lock the slot after the
-- run, so such a writer may lose a deadlock against a cancel or an end of this version, or make it lose. The
-- loser repeats its statement. Claims skip locked runs.
CREATE FUNCTION keep_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.holds_place <> (NEW.status = 'running') THEN
        NEW.holds_place := NEW.status = 'running';
        UPDATE user_slots s SET running = s.running + CASE WHEN NEW.holds_place THEN 1 ELSE -1 END
        WHERE s.user_id = NEW.user_id;
        NEW.counted_at := CASE WHEN NEW.holds_place THEN capi_now() END;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.status = 'running' AND NEW.lease_owner IS DISTINCT FROM OLD.lease_owner
        AND NEW.lease_claim IS NOT DISTINCT FROM OLD.lease_claim THEN
        NEW.lease_claim := NULL;
        NEW.counted_at := capi_now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER runs_place_inserted BEFORE INSERT ON runs FOR EACH ROW WHEN (NEW.status = 'running')
    EXECUTE FUNCTION keep_place();
CREATE TRIGGER runs_place_updated BEFORE UPDATE ON runs FOR EACH ROW
    WHEN (NEW.holds_place <> (NEW.status = 'running')
        OR (NEW.status = 'running' AND NEW.lease_owner IS DISTINCT FROM OLD.lease_owner
            AND NEW.lease_claim IS NOT NULL AND NEW.lease_claim IS NOT DISTINCT FROM OLD.lease_claim))
    EXECUTE FUNCTION keep_place();

-- The webhook-id of an event of a run: always the same for the same event, so that an end that is lost in a
-- failover and recorded again keeps its id. `p_part` says which of several the event is about. Like a UUIDv7
-- it begins with the time of the run; the rest is a hash (UUIDv8, RFC 9562). In PL/pgSQL, whose plans are
-- kept: a function in SQL is planned anew by each statement that calls it.
CREATE FUNCTION webhook_id_v1(p_run uuid, p_type text, p_part uuid) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    v_id bytea := substring(uuid_send(p_run) FROM 1 FOR 6) || substring(
        sha256(uuid_send(p_run) || convert_to(p_type, 'UTF8') || coalesce(uuid_send(p_part), ''))
        FROM 1 FOR 10);
BEGIN
    RETURN encode(set_byte(set_byte(v_id, 6, get_byte(v_id, 6) & 15 | 128), 8, get_byte(v_id, 8) & 63 | 128),
        'hex');
END $$;

-- How long a create may take from its `created_at` to its commit, so that the next claim finds its run. A run
-- that is committed later waits for the sweeper.
CREATE FUNCTION late_commit_margin() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT interval '0.25 s' $$;

-- The seconds to add to `worked_seconds` at `p_now`. The time after the lease expired does not count, and so
-- no jump of the clock.
CREATE FUNCTION worked_v1(p_counted_at timestamptz, p_now timestamptz, p_expires_at timestamptz)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(extract(epoch FROM greatest(interval '0', least(p_now, p_expires_at) - p_counted_at)), 0)
        ::double precision
$$;

-- Locks the slots of these users in the order of their ids. Without `p_wait` it skips locked ones. The slot's
-- `ctid` finds it again, as long as it is locked.
--
-- Beside a transaction that stays open the index holds an entry for each page with dead versions of the slot.
-- The scan goes backward, because the last entry is usually that of the live version. With the condition `=`
-- PostgreSQL would scan forward.
CREATE FUNCTION lock_slots_v1(p_users uuid[], p_wait boolean) RETURNS TABLE (user_id uuid, slot tid)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
    IF p_wait THEN
        RETURN QUERY SELECT s.user_id, s.slot
        FROM (SELECT DISTINCT w.id FROM unnest(p_users) AS w (id) ORDER BY w.id) w CROSS JOIN LATERAL (
            SELECT s.user_id, s.ctid AS slot FROM user_slots s WHERE s.user_id >= w.id AND s.user_id <= w.id
            ORDER BY s.user_id DESC LIMIT 1 FOR NO KEY UPDATE) s;
    ELSE
        RETURN QUERY SELECT s.user_id, s.slot
        FROM (SELECT DISTINCT w.id FROM unnest(p_users) AS w (id) ORDER BY w.id) w CROSS JOIN LATERAL (
            SELECT s.user_id, s.ctid AS slot FROM user_slots s WHERE s.user_id >= w.id AND s.user_id <= w.id
            ORDER BY s.user_id DESC LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) s;
    END IF;
END $$;

-- Starts the oldest pending runs of these users: at most `p_counts` of each user, at most what the cap of the
-- user's plan allows, and at most `p_places` in all. If the places are few, the users with the fewest running
-- runs come first. All runs get the lease claim `p_claim`. No user may be listed twice.
--
-- A row with an `id` is a run. A row without is a user: `more` says how many further runs of the user may
-- start (at most 64), `locked` that another transaction has locked the user's slot, so that nothing is known.
-- With `p_wait` the claim waits for that lock.
--
-- Each statement has a snapshot of its own. The allocation must come after the statement that waits for the
-- lock: in that one it would use the snapshot from before the wait, and two claims could both start the last
-- run that the cap allows.
--
-- Call it outside of a transaction: if it starts nothing, the transaction does not wait until its commit is
-- on the disk.
CREATE FUNCTION claim_runs_v2(p_users uuid[], p_counts integer[], p_places integer, p_owner text,
    p_claim uuid, p_lease interval, p_caps jsonb, p_default_cap integer, p_wait boolean)
RETURNS TABLE (
    user_id uuid, more integer, locked boolean, id uuid, attempt integer, lease_claim uuid, last_seq bigint,
    losses integer, plan text, chat_model_id text, inputs jsonb, definition jsonb,
    seconds_used double precision, request_id text
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_waiting uuid[];
    v_counts  integer[];
    v_oldest  timestamptz[];
    v_locked  uuid[];
    v_slots   tid[];
    v_now     timestamptz;
BEGIN
    -- Without a lock: a nudge for a run that is already started must not write. The cap is not checked here:
    -- an end that frees a place just now may have missed the run of this nudge, so the claim waits for it.
    SELECT array_agg(w.user_id), array_agg(w.count), array_agg(r.created_at)
    INTO v_waiting, v_counts, v_oldest
    FROM unnest(p_users, p_counts) AS w (user_id, count)
    CROSS JOIN LATERAL (
        SELECT coalesce(s.pending_from, '-infinity') AS pending_from FROM user_slots s
        WHERE s.user_id >= w.user_id AND s.user_id <= w.user_id ORDER BY s.user_id DESC LIMIT 1) s
    CROSS JOIN LATERAL (
        SELECT r.created_at FROM runs r
        WHERE r.user_id = w.user_id AND r.status = 'pending' AND r.created_at >= s.pending_from
        ORDER BY r.created_at, r.id LIMIT 1) r;
    IF v_waiting IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(l.user_id), array_agg(l.slot) INTO v_locked, v_slots
    FROM lock_slots_v1(v_waiting, p_wait) l;
    v_now := capi_now();
    RETURN QUERY
    WITH slots AS MATERIALIZED (
        SELECT s.user_id, l.slot, s.running, w.oldest, u.plan, c.free,
            greatest(0, least(w.count, p_places, c.free)) AS most
        FROM unnest(v_waiting, v_counts, v_oldest) AS w (user_id, count, oldest)
        JOIN unnest(v_locked, v_slots) AS l (user_id, slot) ON l.user_id = w.user_id
        JOIN user_slots s ON s.ctid = l.slot JOIN users u ON u.id = s.user_id
        CROSS JOIN LATERAL (
            SELECT coalesce((p_caps ->> u.plan)::integer, p_default_cap) - s.running AS free) c
    ), oldest AS MATERIALIZED (
        -- Skips runs that are cancelled just now.
        SELECT s.user_id, r.id, r.created_at
        FROM slots s CROSS JOIN LATERAL (
            SELECT r.id, r.created_at FROM runs r
            WHERE r.user_id = s.user_id AND r.status = 'pending' AND r.created_at >= s.oldest
            ORDER BY r.created_at, r.id LIMIT s.most FOR NO KEY UPDATE SKIP LOCKED) r
    ), ranked AS (
        SELECT o.*, row_number() OVER (PARTITION BY o.user_id ORDER BY o.created_at, o.id) AS position
        FROM oldest o
    ), chosen AS MATERIALIZED (
        SELECT r.user_id, r.id, r.created_at FROM ranked r JOIN slots s ON s.user_id = r.user_id
        ORDER BY s.running + r.position, r.created_at, r.id LIMIT p_places
    ), started AS (
        UPDATE runs r
        SET status = 'running', attempt = r.attempt + 1, last_seq = r.last_seq + 1, lease_owner = p_owner,
            lease_claim = p_claim, lease_expires_at = v_now + p_lease, holds_place = true, counted_at = v_now,
            started_at = coalesce(r.started_at, v_now)
        FROM chosen c WHERE r.id = c.id
        RETURNING r.*
    ), logged AS (
        INSERT INTO run_events (run_id, seq, type, at, attempt, data)
        SELECT r.id, r.last_seq, 'run.started', v_now, r.attempt, jsonb_build_object('worker', p_owner)
        FROM started r
    ), counts AS MATERIALIZED (
        SELECT s.*, c.started, c.last, s.most > 0 AND s.most = (
                SELECT count(*) FROM oldest o WHERE o.user_id = s.user_id) AS may_have_more
        FROM slots s CROSS JOIN LATERAL (
            SELECT count(*)::integer AS started, max(c.created_at) AS last
            FROM chosen c WHERE c.user_id = s.user_id) c
    ), counted AS (
        UPDATE user_slots s
        SET running = s.running + c.started,
            pending_from = greatest(s.pending_from, c.last - late_commit_margin())
        FROM counts c WHERE s.ctid = c.slot AND c.started > 0
    )
    SELECT r.user_id, 0, false, r.id, r.attempt, r.lease_claim, r.last_seq, r.losses, s.plan, r.chat_model_id,
        r.inputs, v.definition, r.worked_seconds, r.request_id
    FROM started r JOIN slots s ON s.user_id = r.user_id JOIN app_versions v ON v.id = r.app_version_id
    UNION ALL
    SELECT c.user_id, p.pending - c.started, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL
    FROM counts c CROSS JOIN LATERAL (
        SELECT count(*)::integer AS pending FROM (
            SELECT 1 FROM runs r
            WHERE r.user_id = c.user_id AND r.status = 'pending' AND r.created_at >= c.oldest
            ORDER BY r.created_at, r.id LIMIT least(c.free, c.started + 64)) p) p
    WHERE c.may_have_more AND p.pending > c.started
    UNION ALL
    SELECT w.user_id, 0, true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM unnest(v_waiting) AS w (user_id) WHERE w.user_id <> ALL (coalesce(v_locked, '{}'));
    IF NOT FOUND THEN
        -- There is only the lock to commit, which may be lost.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
END $$;

-- Corrects the slots of these users: `running` becomes the number of running runs, and `pending_from` goes
-- back if an older run is pending. Skips locked slots. Returns how many it changed.
CREATE FUNCTION correct_slots_v1(p_users uuid[]) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_slots   tid[];
    v_changed bigint;
BEGIN
    SELECT array_agg(l.slot) INTO v_slots FROM lock_slots_v1(p_users, false) l;
    UPDATE user_slots s SET running = h.running, pending_from = least(s.pending_from, n.oldest)
    FROM unnest(v_slots) AS l (slot) JOIN user_slots t ON t.ctid = l.slot
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS running FROM runs r
        WHERE r.user_id = t.user_id AND r.status = 'running') h
    CROSS JOIN LATERAL (
        SELECT min(r.created_at) AS oldest FROM runs r
        WHERE r.user_id = t.user_id AND r.status = 'pending') n
    WHERE s.ctid = l.slot AND (s.running <> h.running OR s.pending_from > n.oldest);
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END $$;

-- Renews these leases. A row with `kept` = false is a lease whose run another transaction has locked: one
-- stopped process must not cost the other runs their leases. A lease without a row is lost.
--
-- OFFSET 0 keeps each look at a run a subquery of its own. In a join, a plan that is made while the table is
-- small would walk the index of all running runs.
CREATE FUNCTION renew_leases_v1(p_runs uuid[], p_attempts integer[], p_claims uuid[], p_lease interval)
RETURNS TABLE (id uuid, kept boolean)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_running text := 'running';
    v_now     timestamptz := capi_now();
BEGIN
    RETURN QUERY
    WITH ours AS MATERIALIZED (
        SELECT h.* FROM unnest(p_runs, p_attempts, p_claims) AS h (id, attempt, claim) CROSS JOIN LATERAL (
            SELECT 1 FROM runs r
            WHERE r.id = h.id AND r.attempt = h.attempt AND r.lease_claim = h.claim AND r.status = v_running
            OFFSET 0) r
    ), free AS MATERIALIZED (
        SELECT h.id FROM ours h CROSS JOIN LATERAL (
            SELECT 1 FROM runs r
            WHERE r.id = h.id AND r.attempt = h.attempt AND r.lease_claim = h.claim AND r.status = v_running
            OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED) r
    ), renewed AS (
        UPDATE runs r SET lease_expires_at = v_now + p_lease, counted_at = v_now,
            worked_seconds = r.worked_seconds + worked_v1(r.counted_at, v_now, r.lease_expires_at)
        FROM free f WHERE r.id = f.id
    )
    SELECT h.id, EXISTS (SELECT 1 FROM free f WHERE f.id = h.id) FROM ours h;
END $$;

-- Ends all leases of this worker, which is known to be dead. They keep their owner, so their takeover counts
-- a loss. Returns how many it ended.
CREATE FUNCTION end_leases_of_v1(p_worker text) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH held AS MATERIALIZED (
        SELECT r.id FROM runs r
        WHERE r.status = 'running' AND r.lease_owner = p_worker AND r.lease_expires_at > capi_now()
        ORDER BY r.id FOR NO KEY UPDATE
    ), ended AS (
        UPDATE runs r SET lease_expires_at = capi_now() FROM held h WHERE r.id = h.id RETURNING r.id
    )
    SELECT count(*) FROM ended
$$;
