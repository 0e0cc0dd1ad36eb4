-- What each account uses: a create under a plan with quotas locks this row, then counts and inserts. Locks
-- are taken in this order: user_slots, runs, account_use. A new run's row is unknown to other statements, so
-- a create may lock account_use first.
CREATE TABLE account_use (
    user_id       uuid PRIMARY KEY REFERENCES users,
    -- Bytes of input files and artifacts. Null: not counted yet, because the account is older than the table.
    stored_bytes  bigint,
    -- The day (UTC) of the next two columns.
    day           date NOT NULL DEFAULT (capi_now() AT TIME ZONE 'UTC')::date,
    request_bytes bigint NOT NULL DEFAULT 0,
    tokens        bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE FUNCTION add_account_use() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO account_use (user_id, stored_bytes) VALUES (NEW.id, 0) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER users_account_use AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION add_account_use();
INSERT INTO account_use (user_id) SELECT id FROM users;

-- For each row: most statements that append events insert no artifact, and then this costs nothing.
CREATE FUNCTION add_stored_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE account_use u SET stored_bytes = u.stored_bytes + NEW.size
    FROM runs r WHERE r.id = NEW.run_id AND u.user_id = r.user_id;
    RETURN NULL;
END $$;
CREATE TRIGGER run_files_stored AFTER INSERT ON run_files FOR EACH ROW EXECUTE FUNCTION add_stored_bytes();
CREATE TRIGGER artifacts_stored AFTER INSERT ON artifacts FOR EACH ROW EXECUTE FUNCTION add_stored_bytes();

-- For each statement: retention deletes the rows of many runs at once. The rows of a run are deleted before
-- the run, in a statement of their own.
CREATE FUNCTION subtract_stored_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE account_use u SET stored_bytes = u.stored_bytes - c.bytes
    FROM (
        SELECT r.user_id, sum(d.size)::bigint AS bytes FROM deleted d JOIN runs r ON r.id = d.run_id
        GROUP BY r.user_id) c
    WHERE u.user_id = c.user_id;
    RETURN NULL;
END $$;
CREATE TRIGGER run_files_deleted AFTER DELETE ON run_files REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION subtract_stored_bytes();
CREATE TRIGGER artifacts_deleted AFTER DELETE ON artifacts REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION subtract_stored_bytes();

-- Returns the account's stored bytes and keeps its row locked. Counts them if that was never done. A
-- concurrent insert has either committed, and is counted, or its trigger waits for this lock and adds to it.
CREATE FUNCTION stored_bytes_v1(p_user uuid) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_bytes bigint;
BEGIN
    SELECT u.stored_bytes INTO v_bytes FROM account_use u WHERE u.user_id = p_user FOR NO KEY UPDATE;
    IF v_bytes IS NULL THEN
        SELECT coalesce(sum(s.size), 0)::bigint INTO v_bytes FROM (
            SELECT f.size FROM runs r JOIN run_files f ON f.run_id = r.id WHERE r.user_id = p_user
            UNION ALL
            SELECT a.size FROM runs r JOIN artifacts a ON a.run_id = r.id WHERE r.user_id = p_user) s;
        UPDATE account_use u SET stored_bytes = v_bytes WHERE u.user_id = p_user;
    END IF;
    RETURN v_bytes;
END $$;

-- Adds to what the account used today.
CREATE FUNCTION use_account_v1(p_user uuid, p_tokens bigint, p_request_bytes bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_today date;
BEGIN
    -- The clock is read after the lock: a statement may wait for it over midnight.
    PERFORM 1 FROM account_use u WHERE u.user_id = p_user FOR NO KEY UPDATE;
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
    SELECT * INTO v_use FROM account_use u WHERE u.user_id = p_user FOR NO KEY UPDATE;
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

-- Retention: which process deletes, and when the last pass was complete. One row.
CREATE TABLE retention_state (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    holder     text NOT NULL DEFAULT '',
    held_until timestamptz NOT NULL DEFAULT 'epoch',
    passed_at  timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO retention_state DEFAULT VALUES;

-- Deletes the account's oldest runs that ended before p_before, at most p_limit, with their rows. Returns how
-- many rows of each kind went, and the runs that had objects in the store. Only runs that are over have a
-- completed_at. A run whose webhook is still due stays. The condition on created_at is implied by the one on
-- completed_at; the index runs_by_user needs it. Callers delete the objects after the commit.
CREATE FUNCTION delete_old_runs_v1(p_user uuid, p_before timestamptz, p_limit integer, OUT runs bigint,
    OUT events bigint, OUT files bigint, OUT artifacts bigint, OUT deliveries bigint, OUT stored uuid[])
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_ids uuid[];
BEGIN
    v_ids := ARRAY(
        SELECT r.id FROM runs r
        WHERE r.user_id = p_user AND r.created_at < p_before AND r.completed_at < p_before
          AND NOT EXISTS (
              SELECT 1 FROM webhook_deliveries d WHERE d.run_id = r.id AND d.status IN ('pending', 'retrying'))
        ORDER BY r.created_at, r.id LIMIT p_limit
        FOR UPDATE OF r SKIP LOCKED);
    PERFORM 1 FROM webhook_deliveries d WHERE d.run_id = ANY (v_ids) FOR UPDATE;
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
    DELETE FROM run_events e WHERE e.run_id = ANY (v_ids);
    GET DIAGNOSTICS events = ROW_COUNT;
    DELETE FROM runs r WHERE r.id = ANY (v_ids);
    GET DIAGNOSTICS runs = ROW_COUNT;
END $$;
