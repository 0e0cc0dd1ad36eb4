-- Sums of the runs of each account and day (UTC), for the page Plan and usage. An account with half a million
-- runs would read all of them at each load. A run is in the sums if it stands at or before the account's
-- cursor, in the order of runs_by_user, and is not one of `skipped`. The page adds the runs behind the cursor
-- and the skipped ones, which were not over when the cursor passed them.
CREATE TABLE usage_cursors (
    user_id uuid PRIMARY KEY REFERENCES users,
    at      timestamptz NOT NULL DEFAULT 'epoch',
    id      uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    skipped uuid[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

CREATE TABLE usage_days (
    user_id uuid NOT NULL REFERENCES users,
    day     date NOT NULL,
    runs    bigint NOT NULL,
    tokens  bigint NOT NULL,
    PRIMARY KEY (user_id, day)
) WITH (fillfactor = 50);

-- Locks the account's cursor until the transaction ends, after all other locks. Inserts it if there is none.
-- Otherwise a sum and a deletion could both find none, and would not wait for each other.
CREATE FUNCTION lock_usage_cursor_v1(p_user uuid) RETURNS usage_cursors LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_cursor usage_cursors;
BEGIN
    SELECT * INTO v_cursor FROM usage_cursors c WHERE c.user_id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO usage_cursors (user_id) VALUES (p_user) ON CONFLICT DO NOTHING;
        SELECT * INTO v_cursor FROM usage_cursors c WHERE c.user_id = p_user FOR NO KEY UPDATE;
    END IF;
    RETURN v_cursor;
END $$;

-- Adds at most p_runs further runs of the last p_days days to the sums and deletes the sums of earlier days.
-- Returns whether there may be more. A run that is not over is skipped, because its tokens may change, and
-- added by a later call. It stops before the run that would be skipped as the 101st, and before the runs of
-- the last hour: a create that commits late may stand between them. If the clock went back behind the cursor,
-- new runs stand before it, so the sums begin anew.
--
-- The runs are read by a separate statement, after the one that waits for the lock. So a deletion has either
-- committed, or waits for this lock and then finds its run in the sums.
CREATE FUNCTION add_usage_v1(p_user uuid, p_days integer, p_runs integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_now    timestamptz := capi_now();
    v_first  date := (v_now AT TIME ZONE 'UTC')::date - (p_days - 1);
    v_from   timestamptz := v_first::timestamp AT TIME ZONE 'UTC';
    v_cursor usage_cursors;
    v_read   integer;
    v_before usage_cursors;
BEGIN
    v_cursor := lock_usage_cursor_v1(p_user);
    v_before := v_cursor;
    DELETE FROM usage_days d WHERE d.user_id = p_user AND (d.day < v_first OR v_cursor.at > v_now);
    IF v_cursor.at < v_from OR v_cursor.at > v_now THEN
        v_cursor.skipped := '{}';
        v_cursor.at := v_from;
        v_cursor.id := '00000000-0000-0000-0000-000000000000';
    END IF;
    WITH passed AS MATERIALIZED (
        SELECT r.created_at, r.id, r.input_tokens + r.output_tokens AS tokens,
               r.completed_at IS NOT NULL AS over
        FROM runs r
        WHERE r.id = ANY (v_cursor.skipped) AND r.user_id = p_user AND r.created_at >= v_from
    ), next AS MATERIALIZED (
        SELECT r.created_at, r.id, r.input_tokens + r.output_tokens AS tokens,
               r.completed_at IS NOT NULL AS over,
               count(*) FILTER (WHERE r.completed_at IS NULL) OVER (ORDER BY r.created_at, r.id)
                   + (SELECT count(*) FROM passed p WHERE NOT p.over) <= 100 AS fits
        FROM runs r
        WHERE r.user_id = p_user AND (r.created_at, r.id) > (v_cursor.at, v_cursor.id)
          AND r.created_at < v_now - interval '1 hour'
        ORDER BY r.created_at, r.id LIMIT p_runs
    ), taken AS MATERIALIZED (
        SELECT created_at, id, tokens, over, false AS new FROM passed
        UNION ALL SELECT created_at, id, tokens, over, true FROM next WHERE fits
    ), added AS (
        INSERT INTO usage_days AS d (user_id, day, runs, tokens)
        SELECT p_user, (t.created_at AT TIME ZONE 'UTC')::date, count(*), sum(t.tokens)::bigint
        FROM taken t WHERE t.over GROUP BY 2 ORDER BY 2
        ON CONFLICT (user_id, day) DO UPDATE
            SET runs = d.runs + EXCLUDED.runs, tokens = d.tokens + EXCLUDED.tokens
    ), last AS (
        SELECT t.created_at, t.id FROM taken t WHERE t.new ORDER BY t.created_at DESC, t.id DESC LIMIT 1
    )
    SELECT coalesce((SELECT l.created_at FROM last l), v_cursor.at),
           coalesce((SELECT l.id FROM last l), v_cursor.id),
           ARRAY(SELECT t.id FROM taken t WHERE NOT t.over ORDER BY t.created_at, t.id),
           (SELECT count(*) FROM taken t WHERE t.new)
    INTO v_cursor.at, v_cursor.id, v_cursor.skipped, v_read;
    IF v_cursor IS DISTINCT FROM v_before THEN
        UPDATE usage_cursors c SET at = v_cursor.at, id = v_cursor.id, skipped = v_cursor.skipped
        WHERE c.user_id = p_user;
    END IF;
    RETURN v_read = p_runs;
END $$;

-- A trigger for each statement, because retention deletes many runs at once. It is a trigger, because
-- services of the former version delete runs too.
CREATE FUNCTION subtract_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_user   uuid;
    v_cursor usage_cursors;
BEGIN
    FOR v_user IN SELECT DISTINCT d.user_id FROM deleted d ORDER BY d.user_id LOOP
        v_cursor := lock_usage_cursor_v1(v_user);
        -- If the clock went back, a run may stand before the cursor that is in no sum.
        UPDATE usage_days u
        SET runs = greatest(0, u.runs - gone.runs), tokens = greatest(0, u.tokens - gone.tokens)
        FROM (SELECT (d.created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS runs,
                     sum(d.input_tokens + d.output_tokens)::bigint AS tokens
              FROM deleted d
              WHERE d.user_id = v_user AND (d.created_at, d.id) <= (v_cursor.at, v_cursor.id)
                AND d.id <> ALL (v_cursor.skipped)
              GROUP BY 1) gone
        WHERE u.user_id = v_user AND u.day = gone.day;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER runs_usage_deleted AFTER DELETE ON runs REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION subtract_usage();
