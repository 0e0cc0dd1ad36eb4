-- Requests are admitted, and runs accepted, in sets: what arrives at a gateway while a statement is in flight
-- goes out together, as one statement.

-- Requests of plans with many places, counted by second: `ends` has the last request of each second, and
-- `totals` how many requests there were up to it, counted from an arbitrary start. An element of '-infinity'
-- is the start. Plans with few places keep the time of each request in `stamps`. A plan may change, and
-- gateways of the former version write only `stamps`, so a row may hold both, and both count.
ALTER TABLE rate_windows
    ADD COLUMN ends timestamptz[] NOT NULL DEFAULT '{}',
    ADD COLUMN totals bigint[] NOT NULL DEFAULT '{}';
-- A row with 300 stamps has 2.5 KB. It stays in its page, uncompressed.
ALTER TABLE rate_windows SET (toast_tuple_target = 4080);

-- How many requests `ends` and `totals` hold after this time.
CREATE FUNCTION counted_after_v1(p_ends timestamptz[], p_totals bigint[], p_after timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(p_totals[cardinality(p_totals)] - coalesce(p_totals[width_bucket(p_after, p_ends)], 0), 0)
        ::integer
$$;

-- A gateway of the former version does not know the counters: it admitted by the stamps alone.
CREATE FUNCTION refuse_over_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.admitted AND NEW.places < cardinality(NEW.stamps)
        + counted_after_v1(NEW.ends, NEW.totals, capi_now() - interval '60 s') THEN
        NEW.admitted := false;
        NEW.stamps := OLD.stamps;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rate_windows_counted BEFORE UPDATE ON rate_windows FOR EACH ROW
    WHEN (cardinality(OLD.ends) > 0 AND NEW.ends = OLD.ends AND NEW.stamps <> OLD.stamps)
    EXECUTE FUNCTION refuse_over_count();

-- Takes a place in its user's rolling window for each request, in the order of the array. `p_hashes` are the
-- hashes of the requests' keys, and `p_rates` maps plans to requests per minute. Returns a row for each
-- request whose key is known: `n` is its place in the array. `places` is null if the plan does not include
-- the API. `done` is false if another transaction has locked the user's row: then the request has no place.
--
-- Up to 300 places the window is exact. With more, a place becomes free when the last request of its second
-- is 60 s old: never too early, and less than a second late.
--
-- `p_wait_ms` 0 leaves locked rows out. Otherwise the call waits for this many milliseconds for each lock,
-- and then fails. Rows are locked in the order of their users. The time is read after the lock. With a time
-- from before, two calls that waited could both find the same place free.
CREATE FUNCTION admit_keys_v1(p_hashes bytea[], p_rates jsonb, p_wait_ms integer)
RETURNS TABLE (
    n integer, id uuid, user_id uuid, app_id uuid, scopes text[], plan text, places integer, done boolean,
    admitted boolean, remaining integer, free_in double precision
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    c_window  CONSTANT interval := '60 s';
    -- Places up to which the time of each request is kept.
    c_exact   CONSTANT integer := 300;
    v_asked   record;
    v_window  rate_windows;
    v_now     timestamptz;
    v_back    boolean;
    v_gone    integer;
    v_last    integer;
    v_used    integer;
    v_taken   integer;
    v_free_at timestamptz;
    v_touched uuid[] := '{}';
BEGIN
    -- Nothing here must survive a crash: `last_used_at` may be a moment older.
    PERFORM set_config('synchronous_commit', 'off', true);
    IF p_wait_ms > 0 THEN
        PERFORM set_config('lock_timeout', p_wait_ms::text, true);
    END IF;
    FOR v_asked IN
        SELECT h.n::integer, k.id, k.user_id, k.app_id, k.scopes, k.last_used_at, u.plan,
            (p_rates ->> u.plan)::integer AS places,
            (row_number() OVER (PARTITION BY k.user_id ORDER BY h.n))::integer AS turn,
            (count(*) OVER (PARTITION BY k.user_id))::integer AS turns
        FROM unnest(p_hashes) WITH ORDINALITY AS h (hash, n)
        JOIN api_keys k ON k.sha256 = h.hash JOIN users u ON u.id = k.user_id
        WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > capi_now())
        ORDER BY k.user_id, h.n
    LOOP
        n := v_asked.n; id := v_asked.id; user_id := v_asked.user_id; app_id := v_asked.app_id;
        scopes := v_asked.scopes; plan := v_asked.plan; places := v_asked.places;
        IF places IS NULL THEN
            done := true; admitted := NULL; remaining := NULL; free_in := NULL;
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- The window of a user's first request serves the others.
        IF v_asked.turn = 1 THEN
            FOR attempt IN 1..2 LOOP
                IF p_wait_ms > 0 THEN
                    SELECT * INTO v_window FROM rate_windows w WHERE w.user_id = v_asked.user_id
                    FOR NO KEY UPDATE;
                ELSE
                    SELECT * INTO v_window FROM rate_windows w WHERE w.user_id = v_asked.user_id
                    FOR NO KEY UPDATE SKIP LOCKED;
                END IF;
                done := FOUND;
                EXIT WHEN done OR attempt = 2;
                INSERT INTO rate_windows (user_id, places, stamps, admitted)
                VALUES (v_asked.user_id, places, '{}', true) ON CONFLICT DO NOTHING;
            END LOOP;
        END IF;
        IF done AND v_asked.turn = 1 THEN
            v_now := capi_now();
            v_back := coalesce(
                v_window.stamps[1] > v_now OR v_window.ends[cardinality(v_window.ends)] > v_now, false);
            IF v_back THEN
                -- The clock went back: these requests count for 60 s from now.
                v_window.stamps := ARRAY(SELECT least(s, v_now) FROM unnest(v_window.stamps) s ORDER BY 1);
                v_window.ends := ARRAY(
                    SELECT least(e, v_now) FROM unnest(v_window.ends) WITH ORDINALITY x (e, at) ORDER BY at);
            END IF;
            v_window.stamps := v_window.stamps[width_bucket(v_now - c_window, v_window.stamps) + 1:];
            v_gone := width_bucket(v_now - c_window, v_window.ends);
            v_used := cardinality(v_window.stamps)
                + counted_after_v1(v_window.ends, v_window.totals, v_now - c_window);
            v_taken := greatest(0, least(v_asked.turns, places - v_used));
            v_free_at := least(v_window.stamps[1], v_window.ends[v_gone + 1], v_now);
            IF v_used > places THEN
                -- The plan had more places before. So several requests must leave before a place is free.
                SELECT run.at INTO v_free_at FROM (
                    SELECT at, sum(requests) OVER (ORDER BY at) AS gone FROM (
                        SELECT s AS at, 1 AS requests FROM unnest(v_window.stamps) s
                        UNION ALL
                        SELECT e, t - lag(t, 1, 0::bigint) OVER (ORDER BY e)
                        FROM unnest(v_window.ends, v_window.totals) x (e, t)) one
                    WHERE at > v_now - c_window) run
                WHERE run.gone > v_used - places ORDER BY run.at LIMIT 1;
            END IF;
            IF v_taken > 0 OR v_back THEN
                IF v_gone > 0 THEN
                    v_window.ends := v_window.ends[v_gone:];
                    v_window.totals := v_window.totals[v_gone:];
                    v_window.ends[1] := '-infinity';
                END IF;
                v_last := cardinality(v_window.ends);
                IF places <= c_exact OR v_taken = 0 THEN
                    v_window.stamps := v_window.stamps || array_fill(v_now, ARRAY[v_taken]);
                ELSIF date_bin('1 s', v_window.ends[v_last], 'epoch') = date_bin('1 s', v_now, 'epoch') THEN
                    v_window.ends[v_last] := v_now;
                    v_window.totals[v_last] := v_window.totals[v_last] + v_taken;
                ELSE
                    v_window.totals := v_window.totals || coalesce(v_window.totals[v_last], 0) + v_taken;
                    v_window.ends := v_window.ends || v_now;
                END IF;
                UPDATE rate_windows w
                SET places = v_asked.places, admitted = true, stamps = v_window.stamps, ends = v_window.ends,
                    totals = v_window.totals
                WHERE w.user_id = v_asked.user_id;
            END IF;
        END IF;
        admitted := done AND v_asked.turn <= v_taken;
        remaining := greatest(0, places - v_used - least(v_asked.turn, v_taken));
        free_in := extract(epoch FROM v_free_at + c_window - v_now);
        IF admitted AND coalesce(v_asked.last_used_at < v_now - interval '1 minute', true) THEN
            v_touched := v_touched || id;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF cardinality(v_touched) > 0 THEN
        UPDATE api_keys k SET last_used_at = v_now
        FROM (
            SELECT id FROM api_keys WHERE id = ANY (v_touched) ORDER BY id
            FOR NO KEY UPDATE SKIP LOCKED) stale
        WHERE k.id = stale.id;
    END IF;
END $$;

-- The key of a deleted run stays until it expires, so that the create is not executed again. A key and its
-- run are written by one transaction: a key without its run is one whose run was deleted.
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_run_id_fkey;
DROP INDEX idempotency_keys_by_run;

-- Writes runs with what belongs to them. Returns the ids of those that it wrote. It writes no run whose app
-- has another version by now or is archived, and of several with one idempotency key only the first.
-- insert_runs_v1 describes the objects of `p_runs`.
CREATE FUNCTION write_runs_v1(p_runs jsonb[], p_event text, p_key_kept interval) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_keyed   boolean;
    v_filed   boolean;
    v_taken   uuid[];
    v_written uuid[];
BEGIN
    SELECT bool_or(run ? 'key_name'), bool_or(run ? 'files') INTO v_keyed, v_filed FROM unnest(p_runs) run;
    IF v_keyed THEN
        -- The insert waits for an open create with the same key. The order is the same in all sets.
        WITH taken AS (
            INSERT INTO idempotency_keys AS k (user_id, path, key, request_hash, run_id, expires_at)
            SELECT DISTINCT ON (a.user_id, run ->> 'key_path', run ->> 'key_name')
                a.user_id, run ->> 'key_path', run ->> 'key_name', decode(run ->> 'key_hash', 'hex'),
                (run ->> 'id')::uuid, capi_now() + p_key_kept
            FROM unnest(p_runs) WITH ORDINALITY AS g (run, n)
            JOIN apps a ON a.id = (run ->> 'app')::uuid
            JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
            WHERE run ? 'key_name' AND a.user_id = (run ->> 'user')::uuid AND a.archived_at IS NULL
              AND v.id = (run ->> 'version')::uuid
            ORDER BY a.user_id, run ->> 'key_path', run ->> 'key_name', n
            ON CONFLICT (user_id, path, key) DO UPDATE
                SET request_hash = EXCLUDED.request_hash, run_id = EXCLUDED.run_id,
                    expires_at = EXCLUDED.expires_at
                WHERE k.expires_at <= capi_now()
            RETURNING k.run_id
        )
        SELECT coalesce(array_agg(run_id), '{}') INTO v_taken FROM taken;
        p_runs := ARRAY(
            SELECT run FROM unnest(p_runs) WITH ORDINALITY AS g (run, n)
            WHERE NOT run ? 'key_name' OR (run ->> 'id')::uuid = ANY (v_taken) ORDER BY n);
    END IF;
    WITH given AS MATERIALIZED (
        SELECT g.n, r.*
        FROM unnest(p_runs) WITH ORDINALITY AS g (run, n)
        CROSS JOIN LATERAL jsonb_to_record(g.run) AS r (
            id uuid, "user" uuid, app uuid, version uuid, key uuid, title text, inputs jsonb, model text,
            webhook_url text, webhook_host text, webhook_events text[], metadata jsonb, created jsonb,
            queue_timeout_seconds integer, request_id text)
        JOIN apps a ON a.id = r.app JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
        WHERE a.user_id = r."user" AND v.id = r.version AND a.archived_at IS NULL
    ), written AS (
        INSERT INTO runs (id, user_id, app_id, app_version_id, api_key_id, source, status, title, inputs,
            chat_model_id, webhook_url, webhook_host, metadata, queue_timeout_seconds, request_id,
            webhook_events, created_at, last_seq)
        SELECT g.id, g."user", g.app, g.version, g.key, CASE WHEN g.key IS NULL THEN 'console' ELSE 'api' END,
            'pending', g.title, g.inputs, g.model, g.webhook_url, g.webhook_host, g.metadata,
            g.queue_timeout_seconds, g.request_id, g.webhook_events, capi_now(), 1
        FROM given g ORDER BY g.n
        RETURNING id, user_id, metadata, created_at
    ), pairs AS (
        INSERT INTO run_metadata (user_id, key, value, created_at, run_id)
        SELECT w.user_id, p.key, p.value, w.created_at, w.id FROM written w, jsonb_each_text(w.metadata) p
    ), logged AS (
        INSERT INTO run_events (run_id, seq, type, at, attempt, data)
        SELECT w.id, 1, p_event, w.created_at, 0, g.created FROM written w JOIN given g ON g.id = w.id
        RETURNING run_id
    )
    SELECT coalesce(array_agg(run_id), '{}') INTO v_written FROM logged;
    IF v_filed THEN
        -- Each file counts to its account: the accounts are locked in the order of their ids.
        INSERT INTO run_files (id, run_id, name, type, size, sha256, part, position)
        SELECT f.id, (run ->> 'id')::uuid, f.name, f.type, f.size, decode(f.sha256, 'hex'), f.part, f.position
        FROM unnest(p_runs) run CROSS JOIN jsonb_to_recordset(run -> 'files') AS f (
            id uuid, name text, type text, size bigint, sha256 text, part text, position integer)
        WHERE run ? 'files' AND (run ->> 'id')::uuid = ANY (v_written)
        ORDER BY (run ->> 'user')::uuid;
    END IF;
    IF v_keyed AND cardinality(v_written) < cardinality(p_runs) THEN
        -- An app changed between the statements: no key without its run.
        DELETE FROM idempotency_keys k USING unnest(p_runs) run
        WHERE k.user_id = (run ->> 'user')::uuid AND k.path = run ->> 'key_path'
          AND k.key = run ->> 'key_name' AND k.run_id = (run ->> 'id')::uuid AND k.run_id <> ALL (v_written);
    END IF;
    RETURN v_written;
END $$;

-- Locks the rows of these accounts, in the order of their ids, and inserts those that do not exist. Waits for
-- 40 ms for each lock. Returns the accounts, or none of them if that is too short for one: then it holds no
-- lock.
CREATE FUNCTION lock_accounts_v1(p_accounts uuid[]) RETURNS uuid[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_account uuid;
    v_before  text := current_setting('lock_timeout');
BEGIN
    IF cardinality(p_accounts) > 0 THEN
        PERFORM set_config('lock_timeout', '40', true);
        FOR v_account IN SELECT a FROM unnest(p_accounts) a ORDER BY a LOOP
            PERFORM lock_account_use_v1(v_account);
        END LOOP;
        PERFORM set_config('lock_timeout', v_before, true);
    END IF;
    RETURN p_accounts;
EXCEPTION WHEN lock_not_available THEN
    RETURN '{}';
END $$;

-- Accepts runs: writes each, or nothing of it. An object of `p_runs` has the names that write_runs_v1 reads.
-- What is missing is null. `key_path`, `key_name` and `key_hash` are the idempotency key, `files` the rows of
-- the run's files, and `asked` is the second argument of account_quota_v1, for an account with quotas.
-- `p_event` is the type of the first event.
--
-- Returns a row for each run that was written, is over a quota (`quota`, `used` and `cap` say which), or was
-- left out (`written` is null): with quotas or files a create locks its account's row, and without `p_wait`
-- it is left out if another transaction has locked that row for longer than 40 ms. Usually that is a create
-- that is done alone. The other runs are not written: their app has changed, or their idempotency key is
-- taken.
--
-- Without `p_wait` the call fails if it waits for 200 ms for an open create with the same idempotency key.
CREATE FUNCTION insert_runs_v1(p_runs jsonb[], p_event text, p_key_kept interval, p_wait boolean)
RETURNS TABLE (id uuid, written boolean, quota text, used bigint, cap bigint)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_accounts uuid[];
    v_locked   uuid[];
    v_run      jsonb;
BEGIN
    IF NOT p_wait THEN
        PERFORM set_config('lock_timeout', '200', true);
    END IF;
    v_accounts := ARRAY(
        SELECT DISTINCT (run ->> 'user')::uuid FROM unnest(p_runs) run WHERE run ?| '{asked,files}');
    IF cardinality(v_accounts) = 0 THEN
        RETURN QUERY SELECT w, true, NULL::text, NULL::bigint, NULL::bigint
        FROM unnest(write_runs_v1(p_runs, p_event, p_key_kept)) w;
        RETURN;
    END IF;
    -- The rows of accounts come before those of idempotency keys.
    IF p_wait THEN
        PERFORM lock_account_use_v1(account) FROM unnest(v_accounts) account;
    ELSE
        v_locked := ARRAY(
            SELECT u.user_id FROM account_use u WHERE u.user_id = ANY (v_accounts)
            ORDER BY u.user_id FOR NO KEY UPDATE SKIP LOCKED);
        IF cardinality(v_locked) < cardinality(v_accounts) THEN
            -- New accounts first: they must not wait for a row that is locked for long.
            v_locked := v_locked || lock_accounts_v1(ARRAY(
                SELECT a FROM unnest(v_accounts) a
                WHERE NOT EXISTS (SELECT 1 FROM account_use u WHERE u.user_id = a)));
            v_locked := v_locked || lock_accounts_v1(ARRAY(
                SELECT a FROM unnest(v_accounts) a WHERE a <> ALL (v_locked)));
        END IF;
        v_accounts := v_locked;
    END IF;
    RETURN QUERY
    SELECT w, true, NULL::text, NULL::bigint, NULL::bigint FROM unnest(write_runs_v1(ARRAY(
        SELECT run FROM unnest(p_runs) WITH ORDINALITY AS g (run, n)
        WHERE NOT run ? 'asked' AND (NOT run ? 'files' OR (run ->> 'user')::uuid = ANY (v_accounts))
        ORDER BY n), p_event, p_key_kept)) w;
    -- Each check counts what the former ones wrote.
    FOR v_run IN
        SELECT run FROM unnest(p_runs) WITH ORDINALITY AS g (run, n)
        WHERE run ?| '{asked,files}' ORDER BY (run ->> 'user')::uuid, n
    LOOP
        id := v_run ->> 'id'; written := NULL; quota := NULL; used := NULL; cap := NULL;
        IF NOT (v_run ->> 'user')::uuid = ANY (v_accounts) THEN
            RETURN NEXT;
        ELSIF v_run ? 'asked' THEN
            SELECT q.quota, q.used, q.cap INTO quota, used, cap
            FROM account_quota_v1((v_run ->> 'user')::uuid, v_run -> 'asked') q;
            IF quota IS NOT NULL THEN
                written := false;
                RETURN NEXT;
            ELSIF cardinality(write_runs_v1(ARRAY[v_run], p_event, p_key_kept)) = 1 THEN
                written := true;
                IF v_run #> '{asked,request_bytes}' <> 'null' THEN
                    PERFORM use_account_v1((v_run ->> 'user')::uuid, 0,
                        (v_run #>> '{asked,request_bytes}')::bigint);
                END IF;
                RETURN NEXT;
            END IF;
        END IF;
    END LOOP;
END $$;
