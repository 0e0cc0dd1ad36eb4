-- The statements of a running run, over sets: item n is element n of each array of items. Events and hosts
-- are flat arrays with the number of their item. Each item has its own fence and its own answer.
--
-- A plan is made once for a connection, maybe while the tables are empty or without statistics. So these
-- functions leave the planner no choice. A LATERAL subquery, which OFFSET 0 keeps apart, finds a row by its
-- primary key. Then its ctid does, while the row is locked. A condition with IS TRUE matches no index.
--
-- Locks: user_slots, runs, account_use, webhook_lanes, each in the order of its ids. A set skips runs that
-- another transaction has locked, and its caller does them alone, with p_wait.

-- Locks runs in the order of their ids. Returns the ctid of each, null for a run that does not exist. Without
-- p_wait also null for a run that another transaction has locked, or whose user is not one of p_users. Null
-- for p_users stands for all users.
CREATE FUNCTION lock_runs_v1(p_runs uuid[], p_wait boolean, p_users uuid[]) RETURNS tid[]
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_wait THEN
        RETURN (
            SELECT array_agg(l.slot ORDER BY l.item) FROM (
                SELECT i.item, r.slot
                FROM (SELECT * FROM unnest(p_runs) WITH ORDINALITY AS i (run, item) ORDER BY i.run) i
                LEFT JOIN LATERAL (
                    SELECT r.ctid AS slot FROM runs r WHERE r.id = i.run OFFSET 0 FOR NO KEY UPDATE
                ) r ON true) l);
    END IF;
    RETURN (
        SELECT array_agg(l.slot ORDER BY l.item) FROM (
            SELECT i.item, r.slot
            FROM (SELECT * FROM unnest(p_runs) WITH ORDINALITY AS i (run, item) ORDER BY i.run) i
            LEFT JOIN LATERAL (
                SELECT r.ctid AS slot FROM runs r
                WHERE r.id = i.run AND (p_users IS NULL OR r.user_id = ANY (p_users))
                OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED
            ) r ON true) l);
END $$;

-- Appends events after number p_after of each run, and renews its lease. Returns for each item whether it was
-- written: false for a stale write, or if the log is longer than p_after; null if the run is locked. The
-- usage columns, contacted hosts and artifacts repeat what the events hold. p_counted_… are the items of
-- accounts with quotas of tokens or stored bytes. If the artifacts of an account exceed its quota, the
-- function fails.
CREATE FUNCTION append_runs_v1(p_wait boolean, p_lease interval,
    p_runs uuid[], p_attempts integer[], p_claims uuid[], p_after bigint[], p_counts integer[],
    p_input_tokens bigint[], p_output_tokens bigint[], p_steps integer[], p_tool_calls integer[],
    p_cached_tokens bigint[], p_reasoning_tokens bigint[],
    p_event_items integer[], p_event_numbers integer[], p_event_types text[], p_event_data jsonb[],
    p_host_items integer[], p_hosts text[],
    p_counted_items integer[], p_counted_tokens bigint[], p_counted_bytes bigint[], p_counted_most bigint[])
RETURNS boolean[] LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_now     timestamptz;
    v_rows    tid[];
    v_written integer[];
    v_users   uuid[];
    v_user    uuid;
BEGIN
    IF NOT p_wait THEN
        PERFORM set_config('lock_timeout', '100ms', true);
    END IF;
    v_rows := lock_runs_v1(p_runs, p_wait, NULL);
    v_now := capi_now();
    WITH written AS (
        UPDATE runs r
        SET last_seq = r.last_seq + i.count, lease_expires_at = v_now + p_lease, losses = 0,
            worked_seconds = r.worked_seconds + worked_v1(r.counted_at, v_now, r.lease_expires_at),
            counted_at = v_now,
            input_tokens = r.input_tokens + i.input_tokens, output_tokens = r.output_tokens + i.output_tokens,
            steps = r.steps + i.steps, tool_calls = r.tool_calls + i.tool_calls,
            cached_input_tokens = CASE WHEN i.cached_tokens IS NULL THEN r.cached_input_tokens
                                  ELSE coalesce(r.cached_input_tokens, 0) + i.cached_tokens END,
            reasoning_tokens = CASE WHEN i.reasoning_tokens IS NULL THEN r.reasoning_tokens
                               ELSE coalesce(r.reasoning_tokens, 0) + i.reasoning_tokens END,
            contacted_hosts = CASE WHEN i.item = ANY (p_host_items)
                THEN merged_hosts_v1(r.contacted_hosts, ARRAY(
                    SELECT h.host FROM unnest(p_host_items, p_hosts) AS h (item, host) WHERE h.item = i.item))
                ELSE r.contacted_hosts END
        FROM unnest(v_rows, p_attempts, p_claims, p_after, p_counts, p_input_tokens, p_output_tokens, p_steps,
            p_tool_calls, p_cached_tokens, p_reasoning_tokens) WITH ORDINALITY
            AS i (slot, attempt, claim, after, count, input_tokens, output_tokens, steps, tool_calls,
            cached_tokens, reasoning_tokens, item)
        WHERE r.ctid = i.slot AND r.attempt = i.attempt AND r.lease_claim = i.claim
          AND (r.status = 'running') IS TRUE AND r.lease_owner IS NOT NULL AND r.last_seq = i.after
        RETURNING i.item::integer AS item, r.user_id
    )
    SELECT array_agg(w.item), array_agg(w.user_id) INTO v_written, v_users FROM written w;

    IF p_counted_items <> '{}' OR 'artifact' = ANY (p_event_types) THEN
        -- The trigger of artifacts locks the same rows. An account's runs are checked together: each alone
        -- would fit.
        FOR v_user IN
            SELECT DISTINCT w.user_id FROM unnest(v_written, v_users) AS w (item, user_id)
            WHERE w.item = ANY (p_counted_items) OR EXISTS (
                SELECT 1 FROM unnest(p_event_items, p_event_types) AS e (item, type)
                WHERE e.item = w.item AND e.type = 'artifact')
            ORDER BY w.user_id
        LOOP
            PERFORM lock_account_use_v1(v_user);
        END LOOP;
        PERFORM account_append_v1(c.user_id, c.tokens, c.bytes, c.most) FROM (
            SELECT w.user_id, sum(q.tokens)::bigint AS tokens, sum(q.bytes)::bigint AS bytes,
                min(q.most) AS most
            FROM unnest(p_counted_items, p_counted_tokens, p_counted_bytes, p_counted_most)
                AS q (item, tokens, bytes, most)
            JOIN unnest(v_written, v_users) AS w (item, user_id) ON w.item = q.item
            GROUP BY w.user_id ORDER BY w.user_id) c;
        INSERT INTO artifacts (id, run_id, type, title, size, sha256)
        SELECT (e.data ->> 'id')::uuid, p_runs[e.item], e.data ->> 'type', e.data ->> 'title',
            (e.data ->> 'size')::bigint, decode(e.data ->> 'sha256', 'hex')
        FROM unnest(p_event_items, p_event_types, p_event_data) WITH ORDINALITY
            AS e (item, type, data, number)
        JOIN unnest(v_written, v_users) AS w (item, user_id) ON w.item = e.item
        WHERE e.type = 'artifact' ORDER BY w.user_id, e.number;
    END IF;

    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT p_runs[e.item], p_after[e.item] + e.number, e.type, v_now, p_attempts[e.item], e.data
    FROM unnest(p_event_items, p_event_numbers, p_event_types, p_event_data) AS e (item, number, type, data)
    WHERE e.item = ANY (v_written);

    RETURN ARRAY(
        SELECT CASE WHEN p_wait OR i.slot IS NOT NULL THEN coalesce(i.item = ANY (v_written), false) END
        FROM unnest(v_rows) WITH ORDINALITY AS i (slot, item) ORDER BY i.item);
END $$;

-- What a run produced that ended without its worker: the last text that the model wrote, and the web pages
-- that the run used. Null if the run has neither text nor artifacts.
--
-- The sources keep the bounds of RunSource. A page is cited if the text holds its number in brackets. Only
-- the worker also finds lists of numbers and URLs. The uses `cited`, `read` and `searched` sort from the
-- strongest to the weakest.
CREATE FUNCTION partial_result_v1(p_run uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('text', coalesce(last.text, ''), 'partial', true)
        || coalesce(used.sources, '{}')
    FROM (SELECT (
        SELECT e.data ->> 'content' FROM run_events e
        WHERE e.run_id = p_run AND e.type = 'message' AND e.data ->> 'role' = 'assistant'
            AND e.data ->> 'content' ~ '\S'
        ORDER BY e.seq DESC LIMIT 1) AS text) last
    LEFT JOIN LATERAL (
        SELECT jsonb_build_object('sources', jsonb_agg(s.source ORDER BY s.id)) AS sources
        FROM (
            SELECT p.id, jsonb_build_object('id', p.id, 'url', p.url, 'title', p.title, 'how', u.how)
                AS source
            FROM (
                SELECT f.page -> 'id' AS id, f.page ->> 'url' AS url, min(f.page ->> 'how') AS how,
                    left(coalesce((array_agg(f.page ->> 'title' ORDER BY e.seq, f.number)
                        FILTER (WHERE f.page ->> 'title' <> ''))[1], ''), 300) AS title
                FROM run_events e
                CROSS JOIN LATERAL jsonb_array_elements(
                    CASE WHEN jsonb_typeof(e.data -> 'sources') = 'array' THEN e.data -> 'sources'
                    ELSE '[]' END) WITH ORDINALITY AS f (page, number)
                WHERE e.run_id = p_run AND e.type = 'tool.result' AND length(f.page ->> 'url') <= 2048
                GROUP BY 1, 2) p
            CROSS JOIN LATERAL (
                SELECT CASE WHEN strpos(last.text, '[' || p.id::text || ']') > 0 THEN 'cited'
                    ELSE p.how END AS how) u
            ORDER BY u.how, p.id LIMIT 300) s
        HAVING count(*) > 0) used ON true
    WHERE last.text IS NOT NULL OR EXISTS (SELECT 1 FROM artifacts f WHERE f.run_id = p_run)
$$;

-- Inserts the webhook deliveries of runs that this transaction has ended, and their lanes if there are none.
-- Returns the lane of each run, null for a run that has no delivery. If other transactions insert the same
-- lanes, the first statement waits for them, and the second one finds their rows.
CREATE FUNCTION deliver_ends_v1(p_runs uuid[], p_users uuid[], p_hosts text[], p_urls text[], p_types text[],
    p_at timestamptz)
RETURNS uuid[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_runs  uuid[];
    v_lanes uuid[];
BEGIN
    IF array_remove(p_hosts, NULL) = '{}' THEN
        RETURN NULL;
    END IF;
    INSERT INTO webhook_lanes (id, user_id, host)
    SELECT capi_uuid_v7(p_at), n.user_id, n.host FROM (
        SELECT DISTINCT e.user_id, e.host FROM unnest(p_users, p_hosts) AS e (user_id, host)
        LEFT JOIN LATERAL (
            SELECT l.id FROM webhook_lanes l WHERE l.user_id = e.user_id AND l.host = e.host OFFSET 0
        ) l ON true
        WHERE e.host IS NOT NULL AND l.id IS NULL
        ORDER BY e.user_id, e.host) n
    ON CONFLICT (user_id, host) DO NOTHING;
    WITH made AS (
        INSERT INTO webhook_deliveries
            (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
        SELECT webhook_id_v1(e.run, e.type, NULL), l.id, e.user_id, e.run, e.type, e.url, 'pending', p_at,
            p_at
        FROM unnest(p_runs, p_users, p_hosts, p_urls, p_types) AS e (run, user_id, host, url, type)
        CROSS JOIN LATERAL (
            SELECT l.id FROM webhook_lanes l WHERE l.user_id = e.user_id AND l.host = e.host OFFSET 0) l
        RETURNING run_id, lane_id
    )
    SELECT array_agg(m.run_id), array_agg(m.lane_id) INTO v_runs, v_lanes FROM made m;
    RETURN ARRAY(
        SELECT (SELECT m.lane FROM unnest(v_runs, v_lanes) AS m (run, lane) WHERE m.run = e.run)
        FROM unnest(p_runs) WITH ORDINALITY AS e (run, number) ORDER BY e.number);
END $$;

-- Frees places of ended runs: so many of each slot, which must be locked. Returns how many pending runs of
-- each user may start in these places. The claim checks the cap. Places that were free before had nudges of
-- their own. A create that commits later is found by its own nudge, whose claim waits for the slot. Beside a
-- transaction that stays open, the bound pending_from keeps this read short.
CREATE FUNCTION free_places_v1(p_slots tid[], p_places bigint[])
RETURNS TABLE (user_id uuid, startable integer) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH freed AS (
        UPDATE user_slots s SET running = s.running - f.places
        FROM unnest(p_slots, p_places) AS f (slot, places) WHERE s.ctid = f.slot
        RETURNING s.user_id, f.places, coalesce(s.pending_from, '-infinity') AS pending_from
    )
    SELECT f.user_id, (SELECT count(*)::integer FROM (
        SELECT 1 FROM runs r
        WHERE r.user_id = f.user_id AND r.status = 'pending' AND r.created_at >= f.pending_from
        ORDER BY r.created_at, r.id LIMIT f.places) waiting)
    FROM freed f;
END $$;

-- Ends running runs after number p_after of their logs: writes the status, the last events and the webhook
-- delivery. p_lost: the worker does not know what the run produced. Returns the items that are not locked.
-- `startable` is for all items of the user in this set and stands at the first of them.
--
-- p_locks says what to do about locks: 'wait', 'skip' locked slots and runs, or 'short': skip locked runs,
-- but wait for slots, and fail after a tenth of a second. Under load, claims hold the slots most of the time,
-- each until its commit. A set that skipped them would leave most of its items to be done alone. 'skip' also
-- fails after a tenth of a second, if an account's row is locked: meanwhile the set holds all its slots.
CREATE FUNCTION finish_runs_v1(p_locks text,
    p_runs uuid[], p_attempts integer[], p_claims uuid[], p_after bigint[], p_counts integer[],
    p_input_tokens bigint[], p_output_tokens bigint[], p_steps integer[], p_tool_calls integer[],
    p_cached_tokens bigint[], p_reasoning_tokens bigint[],
    p_event_items integer[], p_event_numbers integer[], p_event_types text[], p_event_data jsonb[],
    p_host_items integer[], p_hosts text[],
    p_counted_items integer[], p_counted_tokens bigint[],
    p_statuses text[], p_results jsonb[], p_error_codes text[], p_errors jsonb[], p_lost boolean[])
RETURNS TABLE (item integer, done boolean, user_id uuid, lane_id uuid, startable integer)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_now        timestamptz;
    v_slot_users uuid[];
    v_slots      tid[];
    v_rows       tid[];
    v_ended      integer[];
    v_runs       uuid[];
    v_users      uuid[];
    v_hosts      text[];
    v_urls       text[];
    v_types      text[];
    v_freed      tid[];
    v_places     bigint[];
    v_free_users uuid[];
    v_startable  integer[];
    v_lanes      uuid[];
BEGIN
    IF p_locks <> 'wait' THEN
        PERFORM set_config('lock_timeout', '100ms', true);
    END IF;
    v_users := ARRAY(
        SELECT r.user_id FROM unnest(p_runs) AS i (run)
        CROSS JOIN LATERAL (SELECT r.user_id FROM runs r WHERE r.id = i.run OFFSET 0) r);
    SELECT array_agg(l.user_id), array_agg(l.slot) INTO v_slot_users, v_slots
    FROM lock_slots_v1(v_users, p_locks <> 'skip') l;
    v_rows := lock_runs_v1(p_runs, p_locks = 'wait', coalesce(v_slot_users, '{}'));
    v_now := capi_now();
    WITH ended AS (
        UPDATE runs r
        SET status = i.status, completed_at = v_now, last_seq = r.last_seq + i.count,
            result = CASE WHEN i.lost THEN partial_result_v1(r.id) ELSE i.result END,
            error_code = i.error_code,
            error = i.error || jsonb_build_object('eventSeq', r.last_seq + i.count),
            lease_owner = NULL, lease_expires_at = NULL, losses = 0, holds_place = false,
            worked_seconds = r.worked_seconds + worked_v1(r.counted_at, v_now, r.lease_expires_at),
            counted_at = NULL,
            input_tokens = r.input_tokens + i.input_tokens, output_tokens = r.output_tokens + i.output_tokens,
            steps = r.steps + i.steps, tool_calls = r.tool_calls + i.tool_calls,
            cached_input_tokens = CASE WHEN i.cached_tokens IS NULL THEN r.cached_input_tokens
                                  ELSE coalesce(r.cached_input_tokens, 0) + i.cached_tokens END,
            reasoning_tokens = CASE WHEN i.reasoning_tokens IS NULL THEN r.reasoning_tokens
                               ELSE coalesce(r.reasoning_tokens, 0) + i.reasoning_tokens END,
            contacted_hosts = CASE WHEN i.item = ANY (p_host_items)
                THEN merged_hosts_v1(r.contacted_hosts, ARRAY(
                    SELECT h.host FROM unnest(p_host_items, p_hosts) AS h (item, host) WHERE h.item = i.item))
                ELSE r.contacted_hosts END
        FROM unnest(v_rows, p_attempts, p_claims, p_after, p_counts, p_input_tokens, p_output_tokens, p_steps,
            p_tool_calls, p_cached_tokens, p_reasoning_tokens, p_statuses, p_results, p_error_codes, p_errors,
            p_lost) WITH ORDINALITY
            AS i (slot, attempt, claim, after, count, input_tokens, output_tokens, steps, tool_calls,
            cached_tokens, reasoning_tokens, status, result, error_code, error, lost, item)
        WHERE r.ctid = i.slot AND r.attempt = i.attempt AND r.lease_claim = i.claim
          AND (r.status = 'running') IS TRUE AND r.lease_owner IS NOT NULL AND r.last_seq = i.after
        RETURNING i.item::integer AS item, r.id, r.user_id, r.webhook_host, r.webhook_url, r.status
    )
    SELECT array_agg(e.item), array_agg(e.id), array_agg(e.user_id), array_agg(e.webhook_host),
        array_agg(e.webhook_url), array_agg('run.' || e.status)
    INTO v_ended, v_runs, v_users, v_hosts, v_urls, v_types FROM ended e;

    INSERT INTO run_events (run_id, seq, type, at, attempt, data)
    SELECT p_runs[e.item], p_after[e.item] + e.number, e.type, v_now, p_attempts[e.item], e.data
    FROM unnest(p_event_items, p_event_numbers, p_event_types, p_event_data) AS e (item, number, type, data)
    WHERE e.item = ANY (v_ended);

    IF p_counted_items <> '{}' THEN
        PERFORM use_account_v1(c.user_id, c.tokens, 0) FROM (
            SELECT e.user_id, sum(q.tokens)::bigint AS tokens
            FROM unnest(p_counted_items, p_counted_tokens) AS q (item, tokens)
            JOIN unnest(v_ended, v_users) AS e (item, user_id) ON e.item = q.item
            GROUP BY e.user_id ORDER BY e.user_id) c;
    END IF;
    v_lanes := deliver_ends_v1(v_runs, v_users, v_hosts, v_urls, v_types, v_now);
    SELECT array_agg(e.slot), array_agg(e.places) INTO v_freed, v_places
    FROM (SELECT l.slot, count(*) AS places
        FROM unnest(v_users) AS e (user_id)
        JOIN unnest(v_slot_users, v_slots) AS l (user_id, slot) ON l.user_id = e.user_id
        GROUP BY l.slot) e;
    SELECT array_agg(f.user_id), array_agg(f.startable) INTO v_free_users, v_startable
    FROM free_places_v1(v_freed, v_places) f;
    RETURN QUERY
    SELECT i.item::integer, e.user_id IS NOT NULL, e.user_id, e.lane, coalesce(f.startable, 0)
    FROM unnest(v_rows) WITH ORDINALITY AS i (slot, item)
    LEFT JOIN (
        SELECT n.*, row_number() OVER (PARTITION BY n.user_id ORDER BY n.item) AS nth
        FROM unnest(v_ended, v_users, v_lanes) AS n (item, user_id, lane)) e ON e.item = i.item
    LEFT JOIN unnest(v_free_users, v_startable) AS f (user_id, startable)
        ON f.user_id = e.user_id AND e.nth = 1
    WHERE p_locks = 'wait' OR i.slot IS NOT NULL;
END $$;

-- Cancels a pending or running run of the user. One statement: a gateway that is suspended in the middle
-- holds nothing. Returns no row if the user has no such run (of this app); otherwise the status that the run
-- had. `done`: this call cancelled it. `held`: a worker held it. Attempt 0 in the log is the gateway.
CREATE FUNCTION cancel_run_v1(p_user uuid, p_app uuid, p_run uuid, p_from text[], p_event_type text,
    p_event_data jsonb)
RETURNS TABLE (status text, done boolean, held boolean, lane_id uuid, startable integer)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_now  timestamptz;
    v_slot tid;
    v_run  record;
BEGIN
    SELECT r.status INTO status FROM runs r
    WHERE r.id = p_run AND r.user_id = p_user AND (p_app IS NULL OR r.app_id = p_app);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    done := false;
    held := false;
    startable := 0;
    IF status = ANY (p_from) THEN
        SELECT l.slot INTO v_slot FROM lock_slots_v1(ARRAY[p_user], true) l;
        SELECT r.status, r.holds_place, r.lease_owner IS NOT NULL AS held, r.webhook_host,
            r.webhook_url INTO v_run
        FROM runs r WHERE r.id = p_run FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        status := v_run.status;
        done := status = ANY (p_from);
    END IF;
    IF done THEN
        held := v_run.held;
        v_now := capi_now();
        WITH ended AS (
            -- The log holds what the worker recorded before the lock: this statement began after it.
            UPDATE runs r
            SET status = 'cancelled', completed_at = v_now, last_seq = r.last_seq + 1,
                result = partial_result_v1(r.id),
                lease_owner = NULL, lease_expires_at = NULL, losses = 0,
                holds_place = false,
                worked_seconds = r.worked_seconds + worked_v1(r.counted_at, v_now, r.lease_expires_at),
                counted_at = NULL
            WHERE r.id = p_run
            RETURNING r.last_seq
        )
        INSERT INTO run_events (run_id, seq, type, at, attempt, data)
        SELECT p_run, e.last_seq, p_event_type, v_now, 0, p_event_data FROM ended e;
        lane_id := (deliver_ends_v1(ARRAY[p_run], ARRAY[p_user], ARRAY[v_run.webhook_host],
            ARRAY[v_run.webhook_url], ARRAY[p_event_type], v_now))[1];
        IF v_run.holds_place THEN
            startable := coalesce((SELECT f.startable FROM free_places_v1(ARRAY[v_slot], ARRAY[1]) f), 0);
        END IF;
    END IF;
    RETURN NEXT;
END $$;

-- Fails pending runs that no worker started within their queue timeout. Returns the runs that are not locked,
-- and whether this call failed them. A worker that claims one at the same time wins or finds no run. Attempt
-- 0 in the log is the gateway. A pending run has no place, so the slots are not locked.
CREATE FUNCTION expire_runs_v1(p_wait boolean, p_runs uuid[], p_from text[], p_event_type text,
    p_event_data jsonb, p_error_code text, p_error jsonb)
RETURNS TABLE (id uuid, done boolean, user_id uuid, lane_id uuid)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_now   timestamptz;
    v_rows  tid[];
    v_runs  uuid[];
    v_users uuid[];
    v_hosts text[];
    v_urls  text[];
    v_types text[];
    v_lanes uuid[];
BEGIN
    v_rows := lock_runs_v1(p_runs, p_wait, NULL);
    v_now := capi_now();
    WITH ended AS (
        UPDATE runs r
        SET status = 'failed', completed_at = v_now, last_seq = r.last_seq + 1, error_code = p_error_code,
            error = p_error || jsonb_build_object('eventSeq', r.last_seq + 1)
        FROM unnest(v_rows) AS i (slot)
        WHERE r.ctid = i.slot AND (r.status = ANY (p_from)) IS TRUE
          AND r.created_at + r.queue_timeout_seconds * interval '1 s' <= v_now
        RETURNING r.id, r.user_id, r.last_seq, r.webhook_host, r.webhook_url
    ), logged AS (
        INSERT INTO run_events (run_id, seq, type, at, attempt, data)
        SELECT e.id, e.last_seq, p_event_type, v_now, 0, p_event_data FROM ended e
    )
    SELECT array_agg(e.id), array_agg(e.user_id), array_agg(e.webhook_host), array_agg(e.webhook_url),
        array_agg(p_event_type)
    INTO v_runs, v_users, v_hosts, v_urls, v_types FROM ended e;
    v_lanes := deliver_ends_v1(v_runs, v_users, v_hosts, v_urls, v_types, v_now);
    RETURN QUERY
    SELECT i.run, e.user_id IS NOT NULL, e.user_id, e.lane
    FROM unnest(p_runs, v_rows) AS i (run, slot)
    LEFT JOIN unnest(v_runs, v_users, v_lanes) AS e (run, user_id, lane) ON e.run = i.run
    WHERE p_wait OR i.slot IS NOT NULL;
END $$;
