-- What each account uses: a create under a plan with quotas locks this row, then counts and inserts. Locks
-- are taken in this order: user_slots, runs, account_use. A new run's row is unknown to other statements, so
-- a create may lock account_use first. The first statement that needs a row makes it: rows for all accounts,
-- made here, would lock `users` for seconds.
CREATE TABLE account_use (
    user_id       uuid PRIMARY KEY REFERENCES users,
    -- Bytes of input files and artifacts of the runs that are counted: those up to counted_at and counted_id,
    -- in the order of runs_by_user. All are counted if counted_at is 'infinity'.
    stored_bytes  bigint NOT NULL DEFAULT 0,
    counted_at    timestamptz NOT NULL DEFAULT 'epoch',
    counted_id    uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- The day (UTC) of the next two columns.
    day           date NOT NULL DEFAULT (capi_now() AT TIME ZONE 'UTC')::date,
    request_bytes bigint NOT NULL DEFAULT 0,
    tokens        bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX account_use_uncounted ON account_use (user_id) WHERE counted_at < 'infinity';

-- Locks the account's row until the transaction ends. Makes it if there is none.
CREATE FUNCTION lock_account_use_v1(p_user uuid) RETURNS account_use LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_use account_use;
BEGIN
    SELECT * INTO v_use FROM account_use u WHERE u.user_id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO account_use (user_id) VALUES (p_user) ON CONFLICT DO NOTHING;
        SELECT * INTO v_use FROM account_use u WHERE u.user_id = p_user FOR NO KEY UPDATE;
    END IF;
    RETURN v_use;
END $$;

-- For each row: most statements that append events insert no artifact, and then this costs nothing. A run
-- that is not counted yet is counted later, with this row.
CREATE FUNCTION add_stored_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_use account_use;
    v_run record;
BEGIN
    SELECT r.user_id, r.created_at, r.id INTO v_run FROM runs r WHERE r.id = NEW.run_id;
    v_use := lock_account_use_v1(v_run.user_id);
    IF (v_run.created_at, v_run.id) <= (v_use.counted_at, v_use.counted_id) THEN
        UPDATE account_use u SET stored_bytes = u.stored_bytes + NEW.size WHERE u.user_id = v_use.user_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER run_files_stored AFTER INSERT ON run_files FOR EACH ROW EXECUTE FUNCTION add_stored_bytes();
CREATE TRIGGER artifacts_stored AFTER INSERT ON artifacts FOR EACH ROW EXECUTE FUNCTION add_stored_bytes();

-- For each statement: retention deletes the rows of many runs at once. The rows of a run are deleted before
-- the run, in a statement of their own.
CREATE FUNCTION subtract_stored_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_use account_use;
BEGIN
    FOR v_use IN
        SELECT u.* FROM account_use u
        WHERE u.user_id IN (SELECT r.user_id FROM deleted d JOIN runs r ON r.id = d.run_id)
        ORDER BY u.user_id FOR NO KEY UPDATE
    LOOP
        UPDATE account_use u SET stored_bytes = u.stored_bytes - coalesce((
            SELECT sum(d.size)::bigint FROM deleted d JOIN runs r ON r.id = d.run_id
            WHERE r.user_id = v_use.user_id
              AND (r.created_at, r.id) <= (v_use.counted_at, v_use.counted_id)), 0)
        WHERE u.user_id = v_use.user_id;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER run_files_deleted AFTER DELETE ON run_files REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION subtract_stored_bytes();
CREATE TRIGGER artifacts_deleted AFTER DELETE ON artifacts REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION subtract_stored_bytes();

-- Counts the stored bytes of at most so many further runs of the account. Returns whether all are counted. A
-- concurrent insert has either committed, and is counted, or its trigger waits for this lock and adds to it.
CREATE FUNCTION count_stored_bytes_v1(p_user uuid, p_runs integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_use   account_use;
    v_ids   uuid[];
    v_at    timestamptz;
    v_bytes bigint;
BEGIN
    v_use := lock_account_use_v1(p_user);
    IF v_use.counted_at = 'infinity' THEN
        RETURN true;
    END IF;
    SELECT array_agg(c.id ORDER BY c.created_at, c.id), max(c.created_at) INTO v_ids, v_at FROM (
        SELECT r.id, r.created_at FROM runs r
        WHERE r.user_id = p_user AND (r.created_at, r.id) > (v_use.counted_at, v_use.counted_id)
        ORDER BY r.created_at, r.id LIMIT p_runs) c;
    IF coalesce(cardinality(v_ids), 0) < p_runs THEN
        v_at := 'infinity';
    END IF;
    SELECT coalesce(sum(s.size), 0)::bigint INTO v_bytes FROM (
        SELECT f.size FROM run_files f WHERE f.run_id = ANY (v_ids)
        UNION ALL
        SELECT a.size FROM artifacts a WHERE a.run_id = ANY (v_ids)) s;
    UPDATE account_use u
    SET stored_bytes = u.stored_bytes + v_bytes, counted_at = v_at,
        counted_id = coalesce(v_ids[cardinality(v_ids)], u.counted_id)
    WHERE u.user_id = p_user;
    RETURN v_at = 'infinity';
END $$;

-- Returns the account's stored bytes and keeps its row locked. An account that is older than the table may
-- have more runs than one statement can count: each call counts some thousand, and the run-workers count the
-- rest. Until then the uncounted runs count as 0.
CREATE FUNCTION stored_bytes_v1(p_user uuid) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM count_stored_bytes_v1(p_user, 2000);
    RETURN (SELECT u.stored_bytes FROM account_use u WHERE u.user_id = p_user);
END $$;

-- Adds to what the account used today.
CREATE FUNCTION use_account_v1(p_user uuid, p_tokens bigint, p_request_bytes bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_today date;
BEGIN
    -- The clock is read after the lock: a statement may wait for it over midnight.
    PERFORM lock_account_use_v1(p_user);
    v_today := (capi_now() AT TIME ZONE 'UTC')::date;
    UPDATE account_use u
    SET day = v_today,
        tokens = CASE WHEN u.day = v_today THEN u.tokens ELSE 0 END + p_tokens,
        request_bytes = CASE WHEN u.day = v_today THEN u.request_bytes ELSE 0 END + p_request_bytes
    WHERE u.user_id = p_user;
    RETURN true;
END $$;

-- Locks the account's row until the transaction ends, and names the first quota that the request would
-- exceed. p_asked holds the plan's quotas (max_…) and what the request adds (stored_bytes, request_bytes).
-- The counts are statements after the lock: they see what the former holder of the lock committed.
CREATE FUNCTION account_quota_v1(p_user uuid, p_asked jsonb, OUT quota text, OUT used bigint, OUT cap bigint)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_use   account_use;
    v_more  bigint;
    v_today date;
BEGIN
    v_use := lock_account_use_v1(p_user);
    v_today := (capi_now() AT TIME ZONE 'UTC')::date;
    IF v_use.day <> v_today THEN
        v_use.tokens := 0;
        v_use.request_bytes := 0;
    END IF;

    cap := (p_asked ->> 'max_pending_runs')::bigint;
    IF cap IS NOT NULL THEN
        SELECT count(*) INTO used FROM (
            SELECT 1 FROM runs r WHERE r.user_id = p_user AND r.status = 'pending' LIMIT cap + 1) counted;
        IF used >= cap THEN
            quota := 'max_pending_runs';
            RETURN;
        END IF;
    END IF;

    cap := (p_asked ->> 'max_stored_bytes')::bigint;
    v_more := coalesce((p_asked ->> 'stored_bytes')::bigint, 0);
    IF cap IS NOT NULL AND v_more > 0 THEN
        used := stored_bytes_v1(p_user);
        IF used + v_more > cap THEN
            quota := 'max_stored_bytes';
            RETURN;
        END IF;
    END IF;

    cap := (p_asked ->> 'max_request_bytes_per_day')::bigint;
    used := v_use.request_bytes;
    IF used + coalesce((p_asked ->> 'request_bytes')::bigint, 0) > cap THEN
        quota := 'max_request_bytes_per_day';
        RETURN;
    END IF;

    cap := (p_asked ->> 'max_tokens_per_day')::bigint;
    used := v_use.tokens;
    IF used >= cap THEN
        quota := 'max_tokens_per_day';
        RETURN;
    END IF;
    used := NULL;
    cap := NULL;
END $$;

-- Called by the statement that appends a worker's events, on the row that it has fenced. Counts tokens. Fails
-- if the artifacts would exceed the plan's stored bytes: then nothing of the statement is written.
CREATE FUNCTION account_append_v1(p_user uuid, p_tokens bigint, p_bytes bigint, p_max_stored bigint)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_tokens > 0 THEN
        PERFORM use_account_v1(p_user, p_tokens, 0);
    END IF;
    IF p_bytes > 0 AND stored_bytes_v1(p_user) + p_bytes > p_max_stored THEN
        RAISE EXCEPTION 'capi: the stored bytes of the account would exceed its quota';
    END IF;
    RETURN true;
END $$;

-- Tasks that one process of all does at a time: which one has the turn, and when the task was last complete.
CREATE TABLE turns (
    task       text PRIMARY KEY,
    holder     text NOT NULL DEFAULT '',
    held_until timestamptz NOT NULL DEFAULT 'epoch',
    passed_at  timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO turns (task) VALUES ('retention'), ('store_sweep');

-- Deletes the account's oldest runs that ended longer ago than the days that p_days has for its plan now, with
-- their rows: at most p_runs runs, and at most p_events events, so that a run with many large events takes
-- several calls. A run goes when its last event is gone. Returns how many rows of each kind went, the runs
-- that had objects in the store, and whether more may be due. Only runs that are over have a completed_at. A
-- run whose webhook is still due stays. The condition on created_at is implied by the one on completed_at;
-- the index runs_by_user needs it. Callers delete the objects after the commit.
CREATE FUNCTION delete_old_runs_v1(p_user uuid, p_days jsonb, p_runs integer, p_events integer,
    OUT runs bigint, OUT events bigint, OUT files bigint, OUT artifacts bigint, OUT deliveries bigint,
    OUT stored uuid[], OUT more boolean)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_before timestamptz;
    v_ids    uuid[];
BEGIN
    -- A day has 24 hours: the length of '1 day' depends on the session's time zone. Null, and so nothing is
    -- due, if the plan has no retention.
    SELECT capi_now() - (p_days ->> u.plan)::integer * interval '24 hours' INTO v_before
    FROM users u WHERE u.id = p_user;
    v_ids := ARRAY(
        SELECT r.id FROM runs r
        WHERE r.user_id = p_user AND r.created_at < v_before AND r.completed_at < v_before
          AND NOT EXISTS (
              SELECT 1 FROM webhook_deliveries d WHERE d.run_id = r.id AND d.status IN ('pending', 'retrying'))
        ORDER BY r.created_at, r.id LIMIT p_runs
        FOR UPDATE OF r SKIP LOCKED);
    more := cardinality(v_ids) = p_runs;
    PERFORM 1 FROM webhook_deliveries d WHERE d.run_id = ANY (v_ids) ORDER BY d.id FOR UPDATE;
    -- A redelivery may have come before the lock.
    v_ids := ARRAY(
        SELECT due.run FROM unnest(v_ids) AS due (run)
        WHERE NOT EXISTS (
            SELECT 1 FROM webhook_deliveries d
            WHERE d.run_id = due.run AND d.status IN ('pending', 'retrying')));
    DELETE FROM run_events e USING (
        SELECT s.run_id, s.seq FROM run_events s WHERE s.run_id = ANY (v_ids)
        ORDER BY s.run_id, s.seq LIMIT p_events) slice
    WHERE e.run_id = slice.run_id AND e.seq = slice.seq;
    GET DIAGNOSTICS events = ROW_COUNT;
    IF events >= p_events THEN
        more := true;
        v_ids := ARRAY(
            SELECT due.run FROM unnest(v_ids) AS due (run)
            WHERE NOT EXISTS (SELECT 1 FROM run_events e WHERE e.run_id = due.run));
    END IF;
    stored := ARRAY(
        SELECT f.run_id FROM run_files f WHERE f.run_id = ANY (v_ids)
        UNION SELECT a.run_id FROM artifacts a WHERE a.run_id = ANY (v_ids));
    DELETE FROM webhook_attempts a USING webhook_deliveries d
        WHERE a.delivery_id = d.id AND d.run_id = ANY (v_ids);
    DELETE FROM webhook_deliveries d WHERE d.run_id = ANY (v_ids);
    GET DIAGNOSTICS deliveries = ROW_COUNT;
    DELETE FROM run_files f WHERE f.run_id = ANY (v_ids);
    GET DIAGNOSTICS files = ROW_COUNT;
    DELETE FROM artifacts a WHERE a.run_id = ANY (v_ids);
    GET DIAGNOSTICS artifacts = ROW_COUNT;
    DELETE FROM runs r WHERE r.id = ANY (v_ids);
    GET DIAGNOSTICS runs = ROW_COUNT;
END $$;
