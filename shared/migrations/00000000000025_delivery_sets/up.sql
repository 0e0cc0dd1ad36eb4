-- Claims in a row whose leases ended without a recorded attempt: the dispatcher died, or its claim's answer
-- was lost. They are no attempts. Dispatchers of the former version count them as attempts, and leave this
-- number as it is when they record one.
ALTER TABLE webhook_deliveries ADD COLUMN lost_claims integer NOT NULL DEFAULT 0;

-- A plan is made once for a connection, maybe while the tables are empty or without statistics. So the
-- functions of this file leave the planner no choice, like those of run sets. A LATERAL subquery, which
-- OFFSET 0 keeps apart, finds a row by its primary key, and its ctid finds it while it is locked. A condition
-- with IS TRUE matches no partial index. Without sorts, an order needs the index that has it. Without bitmap
-- scans, a claim also cleans the index entries of finished deliveries that it passes. The functions for one
-- lane have no settings of their own: both of their callers have these.

-- Whether a delivery with this end of a lease may be claimed. A lease that ends later than a new one would is
-- over too: the clock jumped back.
CREATE FUNCTION webhook_lease_is_over_v1(p_ends timestamptz, p_lease interval, p_now timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_ends IS NULL OR p_ends <= p_now OR p_ends > p_now + p_lease + interval '5 s'
$$;

-- Whether a lane is closed. It is not if it would be closed for longer than the longest pause: the clock
-- jumped back.
CREATE FUNCTION webhook_lane_is_closed_v1(p_until timestamptz, p_now timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(p_until > p_now AND p_until <= p_now + interval '15 min', false)
$$;

-- How many more requests the lane may have in flight now, over all dispatchers: `room`. The first of them,
-- up to four in flight, are `narrow`. A doubtful lane has one request. A lane whose oldest request takes
-- longer than two seconds gets no more than four: its host may begin to hang.
CREATE FUNCTION webhook_lane_room_v1(p_lane uuid, p_from timestamptz, p_works boolean, p_share integer,
    p_lease interval, p_now timestamptz, OUT room integer, OUT narrow integer)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_last      timestamptz := p_now + p_lease + interval '5 s';
    v_from      timestamptz := CASE WHEN p_from <= v_last THEN p_from ELSE '-infinity' END;
    v_in_flight integer;
    v_oldest    timestamptz;
BEGIN
    SELECT count(*), min(x.lease_expires_at) INTO v_in_flight, v_oldest FROM webhook_deliveries x
    WHERE x.lane_id = p_lane AND x.lease_owner IS NOT NULL AND x.lease_expires_at > p_now
      AND x.lease_expires_at >= v_from AND x.lease_expires_at <= v_last;
    narrow := greatest(0, CASE WHEN p_works THEN least(p_share, 4) ELSE 1 END - v_in_flight);
    room := CASE WHEN NOT p_works OR v_oldest < p_now + p_lease - interval '2 s' THEN narrow
        ELSE greatest(0, p_share - v_in_flight) END;
END $$;

-- The lane's oldest deliveries that may be claimed, oldest first. A closed lane gives only those that a
-- person sends again. They are searched among its newest 100, because there may be many older ones of other
-- types.
--
-- The orders and conditions match the indexes (lane_id, next_attempt_at) and (lane_id, due_at). So only the
-- rows that are taken, and those in flight before them, are read, and not the whole backlog. Only open
-- deliveries have `due_at`.
--
-- If there is none, it looks once more from a second before the bound: a delivery whose transaction committed
-- after those of younger ones is older than the bound.
CREATE FUNCTION webhook_lane_due_v1(p_lane uuid, p_from timestamptz, p_closed boolean, p_lease interval,
    p_now timestamptz, p_most integer)
RETURNS TABLE (id uuid, due timestamptz) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    -- A bound in the future is of a clock that jumped back since.
    v_from timestamptz := CASE WHEN p_from <= p_now THEN p_from ELSE '-infinity' END;
BEGIN
    IF p_closed THEN
        RETURN QUERY
        SELECT n.id, n.due_at FROM (
            SELECT d.* FROM webhook_deliveries d
            WHERE d.lane_id = p_lane AND d.due_at <= p_now ORDER BY d.due_at DESC LIMIT 100) n
        WHERE webhook_lease_is_over_v1(n.lease_expires_at, p_lease, p_now)
          AND webhook_sent_again_v1(n.scheduled_at, n.attempt, n.earlier_attempts)
        ORDER BY n.due_at, n.id LIMIT p_most;
        RETURN;
    END IF;
    FOR v_look IN 1..2 LOOP
        RETURN QUERY
        SELECT o.id, o.due FROM (
            (SELECT n.id, n.next_attempt_at AS due FROM webhook_deliveries n
             WHERE n.lane_id = p_lane AND n.status IN ('pending', 'retrying')
               AND n.next_attempt_at BETWEEN v_from AND p_now
               AND webhook_lease_is_over_v1(n.lease_expires_at, p_lease, p_now)
             ORDER BY n.next_attempt_at LIMIT p_most)
            UNION ALL
            (SELECT n.id, n.due_at FROM webhook_deliveries n
             WHERE n.lane_id = p_lane AND n.due_at BETWEEN v_from AND p_now
               AND webhook_lease_is_over_v1(n.lease_expires_at, p_lease, p_now)
             ORDER BY n.due_at LIMIT p_most)) o
        ORDER BY o.due, o.id LIMIT p_most;
        EXIT WHEN FOUND OR v_from = '-infinity';
        v_from := v_from - interval '1 s';
    END LOOP;
END $$;

-- Moves the bounds of lanes that the caller has locked. An old bound is safe, so a bound moves only by more
-- than p_step: beside a transaction that stays open, each version of the row is read by all later claims.
CREATE FUNCTION move_lane_bounds_v1(p_lanes uuid[], p_lease interval, p_step interval, p_now timestamptz)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_last constant timestamptz := p_now + p_lease + interval '5 s';
BEGIN
    UPDATE webhook_lanes l SET leases_from = new.leases_from, due_from = new.due_from
    FROM unnest(p_lanes) AS lane (id)
    CROSS JOIN LATERAL (
        SELECT x.ctid AS slot, least(p_now + p_lease, (
                SELECT n.lease_expires_at FROM webhook_deliveries n
                WHERE n.lane_id = x.id AND n.lease_owner IS NOT NULL AND n.lease_expires_at > p_now
                  AND n.lease_expires_at >= CASE WHEN x.leases_from <= v_last THEN x.leases_from
                                            ELSE '-infinity' END
                ORDER BY n.lease_expires_at LIMIT 1)) AS leases_from,
            least(p_now, (
                SELECT n.next_attempt_at FROM webhook_deliveries n
                WHERE n.lane_id = x.id AND n.status IN ('pending', 'retrying')
                  AND n.next_attempt_at >= CASE WHEN x.due_from <= p_now THEN x.due_from ELSE '-infinity' END
                ORDER BY n.next_attempt_at LIMIT 1), (
                SELECT n.due_at FROM webhook_deliveries n
                WHERE n.lane_id = x.id
                  AND n.due_at >= CASE WHEN x.due_from <= p_now THEN x.due_from ELSE '-infinity' END
                ORDER BY n.due_at LIMIT 1)) - interval '50 ms' AS due_from
        FROM webhook_lanes x WHERE x.id = lane.id OFFSET 0) new
    WHERE l.ctid = new.slot
      AND ((new.leases_from BETWEEN l.leases_from AND l.leases_from + p_step) IS NOT TRUE
        OR (new.due_from BETWEEN l.due_from AND l.due_from + p_step) IS NOT TRUE);
END $$;

-- Claims deliveries of a set of lanes under one lease owner, which must be new: it fences what the dispatcher
-- writes later. At most p_places. Each lane gives its oldest due delivery, then each its second one, and so
-- on, while the lane has room (webhook_lane_room_v1) and its user may have more.
--
-- p_permits, p_users, p_held and p_doubtful describe the dispatcher: its permits, how many of them each
-- user's deliveries hold, and how many of these are for doubtful lanes. A lane is doubtful if its host did
-- not answer last time. A user may hold as many permits as are free, and a quarter as many for doubtful
-- lanes, but always one. Doubtful lanes never hold the last quarter of the permits. A lane goes beyond four
-- requests only if it is one of p_answering, whose hosts answered this dispatcher a moment ago (null: all). All
-- lanes together get p_wide of these further requests. So hosts which begin to hang leave permits for others
-- until their requests end. The lane `ping` holds a user's tests, for all hosts. It
-- is never closed, has p_share, and waits only while doubtful lanes must.
--
-- A claimed lane's row has the state 'claimed'. 'more': the lane has room for due deliveries that got no
-- place. 'locked': another transaction has locked the lane; with p_wait the function waits for it. Both rows
-- have only the lane. A set without work locks nothing and writes nothing.
--
-- A claim that takes over an expired lease keeps the number of its attempt, which was not recorded.
--
-- Lanes are locked before deliveries. The deliveries are skipped if they are locked: a dispatcher that
-- records locks its deliveries first.
CREATE FUNCTION claim_deliveries_v3(p_lanes uuid[], p_owner text, p_lease interval, p_share integer,
    p_permits integer, p_users uuid[], p_held integer[], p_doubtful integer[], p_answering uuid[],
    p_wide integer, p_places integer, p_wait boolean)
RETURNS TABLE (state text, lane_id uuid, id uuid, attempt integer, user_id uuid, run_id uuid, type text,
    url text, claimed_at timestamptz, created_at timestamptz, artifact_id uuid, earlier_attempts integer,
    scheduled_at timestamptz, lost_claims integer, lease_owner text, failures integer, request_id text,
    plan text, secrets bytea[])
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_now      timestamptz := capi_now();
    -- How far bounds of lanes move at least.
    v_step     constant interval := interval '100 ms';
    v_lanes    uuid[];
    v_locked   uuid[];
    v_ids      uuid[] := '{}';
    v_rows     tid[];
    v_moving   uuid[] := '{}';
    v_more     uuid[] := '{}';
    v_users    uuid[] := p_users;
    v_held     integer[] := p_held;
    v_doubtful integer[] := p_doubtful;
    v_free     integer := p_permits - (SELECT coalesce(sum(n), 0) FROM unnest(p_held) n);
    v_wide           integer := p_wide;
    v_doubtfuls      integer := (SELECT coalesce(sum(n), 0) FROM unnest(p_doubtful) n);
    v_most_doubtfuls constant integer := greatest(p_permits - p_permits / 4, 1);
    v_full          uuid[];
    v_doubtful_full uuid[];
    v_due  record;
    v_user integer;
BEGIN
    v_full := ARRAY(
        SELECT u.id FROM unnest(p_users, p_held) AS u (id, held) WHERE u.held >= greatest(v_free, 1));
    v_doubtful_full := ARRAY(
        SELECT u.id FROM unnest(p_users, p_doubtful) AS u (id, held) WHERE u.held >= greatest(v_free / 4, 1));
    -- Most nudges of a busy user end here, without a lock.
    v_lanes := ARRAY(
        SELECT l.id FROM unnest(p_lanes) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT x.*, x.host = 'ping' AS ping, x.failures IS NOT DISTINCT FROM 0 AS answers
            FROM webhook_lanes x WHERE x.id = wanted.id OFFSET 0) l
        CROSS JOIN LATERAL webhook_lane_room_v1(l.id, l.leases_from, l.answers OR l.ping, p_share, p_lease,
            v_now) AS may
        WHERE CASE WHEN l.ping THEN v_doubtfuls < v_most_doubtfuls
            ELSE NOT l.user_id = ANY (v_full) AND (l.answers
                OR v_doubtfuls < v_most_doubtfuls AND NOT l.user_id = ANY (v_doubtful_full)) END
          AND may.room > 0 AND (may.narrow > 0 OR l.ping
            OR p_wide > 0 AND (p_answering IS NULL OR l.id = ANY (p_answering)))
          AND EXISTS (
            SELECT 1 FROM webhook_lane_due_v1(l.id, l.due_from,
                webhook_lane_is_closed_v1(l.closed_until, v_now), p_lease, v_now, 1)));
    IF v_lanes = '{}' THEN
        RETURN;
    END IF;
    IF p_wait THEN
        v_locked := ARRAY(
            SELECT l.id FROM webhook_lanes l WHERE l.id = ANY (v_lanes) ORDER BY l.id FOR NO KEY UPDATE);
    ELSE
        v_locked := ARRAY(
            SELECT l.id FROM webhook_lanes l WHERE l.id = ANY (v_lanes) ORDER BY l.id
            FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    v_now := capi_now();
    FOR v_due IN
        SELECT l.id AS lane, l.user_id, l.ping, l.ping OR NOT l.answers AS doubtful,
            NOT l.ping AND d.place > may.narrow AS wide,
            p_answering IS NULL OR l.id = ANY (p_answering) AS answering, d.id,
            (d.due BETWEEN l.due_from AND l.due_from + v_step
                AND v_now + p_lease BETWEEN l.leases_from AND l.leases_from + v_step) IS NOT TRUE AS moves
        FROM unnest(v_locked) AS locked (id)
        CROSS JOIN LATERAL (
            SELECT x.*, x.host = 'ping' AS ping, x.failures IS NOT DISTINCT FROM 0 AS answers
            FROM webhook_lanes x WHERE x.id = locked.id OFFSET 0) l
        CROSS JOIN LATERAL webhook_lane_room_v1(l.id, l.leases_from, l.answers OR l.ping, p_share, p_lease,
            v_now) AS may
        -- One more than the places, to find out whether there is more.
        CROSS JOIN LATERAL webhook_lane_due_v1(l.id, l.due_from,
            webhook_lane_is_closed_v1(l.closed_until, v_now), p_lease, v_now, least(may.room, p_places + 1))
            WITH ORDINALITY AS d (id, due, place)
        ORDER BY d.place, d.due, d.id
    LOOP
        v_user := array_position(v_users, v_due.user_id);
        IF v_user IS NULL THEN
            v_users := v_users || v_due.user_id;
            v_held := v_held || 0;
            v_doubtful := v_doubtful || 0;
            v_user := cardinality(v_users);
        END IF;
        CONTINUE WHEN v_due.wide AND (NOT v_due.answering OR v_wide <= 0);
        CONTINUE WHEN v_due.doubtful AND v_doubtfuls >= v_most_doubtfuls;
        CONTINUE WHEN NOT v_due.ping AND (v_held[v_user] >= greatest(v_free, 1)
            OR v_due.doubtful AND v_doubtful[v_user] >= greatest(v_free / 4, 1));
        IF cardinality(v_ids) >= p_places THEN
            v_more := v_more || v_due.lane;
            CONTINUE;
        END IF;
        v_ids := v_ids || v_due.id;
        v_wide := v_wide - v_due.wide::integer;
        IF v_due.moves THEN
            v_moving := v_moving || v_due.lane;
        END IF;
        v_free := v_free - 1;
        v_held[v_user] := v_held[v_user] + 1;
        IF v_due.doubtful THEN
            v_doubtful[v_user] := v_doubtful[v_user] + 1;
            v_doubtfuls := v_doubtfuls + 1;
        END IF;
    END LOOP;
    v_rows := ARRAY(
        SELECT d.slot FROM (SELECT i.id FROM unnest(v_ids) AS i (id) ORDER BY i.id) i
        CROSS JOIN LATERAL (
            SELECT n.ctid AS slot FROM webhook_deliveries n
            WHERE n.id = i.id AND (n.status IN ('pending', 'retrying')) IS TRUE
              AND coalesce(n.due_at, n.next_attempt_at) <= v_now
              AND webhook_lease_is_over_v1(n.lease_expires_at, p_lease, v_now)
            OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED) d);
    RETURN QUERY
    UPDATE webhook_deliveries d
    SET attempt = d.attempt + CASE WHEN d.lease_owner IS NULL THEN 1 ELSE 0 END,
        lost_claims = d.lost_claims + CASE WHEN d.lease_owner IS NULL THEN 0 ELSE 1 END,
        lease_owner = p_owner, lease_expires_at = v_now + p_lease
    WHERE d.ctid = ANY (v_rows)
    RETURNING 'claimed', d.lane_id, d.id, d.attempt, d.user_id, coalesce(d.run_id, d.event_run_id), d.type,
        d.url, v_now, d.created_at, d.artifact_id, d.earlier_attempts,
        coalesce(d.scheduled_at, d.created_at), d.lost_claims, d.lease_owner,
        (SELECT CASE WHEN l.host = 'ping' THEN 0 ELSE l.failures END
         FROM webhook_lanes l WHERE l.id = d.lane_id),
        -- Only the primary key has this order. Other indexes have the id as their last column.
        (SELECT r.request_id FROM runs r
         WHERE r.id BETWEEN coalesce(d.run_id, d.event_run_id) AND coalesce(d.run_id, d.event_run_id)
         ORDER BY r.id LIMIT 1),
        (SELECT u.plan FROM users u WHERE u.id = d.user_id),
        ARRAY(SELECT s.sealed FROM webhook_secrets s
            WHERE s.user_id = d.user_id AND (s.expires_at IS NULL OR s.expires_at > v_now)
            ORDER BY s.created_at DESC);
    IF v_moving <> '{}' THEN
        PERFORM move_lane_bounds_v1(
            ARRAY(SELECT DISTINCT m.id FROM unnest(v_moving) AS m (id)), p_lease, v_step, v_now);
    END IF;
    RETURN QUERY
    SELECT left_out.state, left_out.id, NULL::uuid, NULL::integer, NULL::uuid, NULL::uuid, NULL::text,
        NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::uuid, NULL::integer, NULL::timestamptz,
        NULL::integer, NULL::text, NULL::integer, NULL::text, NULL::text, NULL::bytea[]
    FROM (SELECT DISTINCT 'more' AS state, m.id FROM unnest(v_more) AS m (id)
        UNION ALL
        SELECT 'locked', w.id FROM unnest(v_lanes) AS w (id) WHERE NOT w.id = ANY (v_locked)) left_out;
END $$;

-- Like webhook_lanes_due_v1. It passes the whole index of each lane, and sets the bounds to null of lanes
-- that have an older due delivery.
CREATE FUNCTION webhook_lanes_due_v2(p_after uuid, p_walk integer, p_most bigint, p_each integer,
    p_lease interval)
RETURNS TABLE (lanes uuid[], walked_to uuid) LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_now   timestamptz := capi_now();
    v_walk  uuid[];
    v_lanes uuid[];
    v_late  uuid[];
BEGIN
    WITH RECURSIVE walked AS (
        (SELECT d.lane_id AS id, 1 AS number FROM webhook_deliveries d
         WHERE d.status IN ('pending', 'retrying') AND d.lane_id > p_after ORDER BY d.lane_id LIMIT 1)
        UNION ALL
        SELECT (
                SELECT d.lane_id FROM webhook_deliveries d
                WHERE d.status IN ('pending', 'retrying') AND d.lane_id > walked.id
                ORDER BY d.lane_id LIMIT 1),
            walked.number + 1
        FROM walked WHERE walked.id IS NOT NULL AND walked.number < p_walk
    )
    SELECT array_agg(walked.id ORDER BY walked.number) INTO v_walk FROM walked;
    WITH waiting AS MATERIALIZED (
        SELECT l.id, l.due_from, d.due,
            row_number() OVER (PARTITION BY l.user_id, l.answers ORDER BY d.due) AS place
        FROM unnest(v_walk) AS walked (id)
        CROSS JOIN LATERAL (
            SELECT x.*, x.failures IS NOT DISTINCT FROM 0 AS answers
            FROM webhook_lanes x WHERE x.id = walked.id OFFSET 0) l
        CROSS JOIN LATERAL webhook_lane_due_v1(l.id, NULL, webhook_lane_is_closed_v1(l.closed_until, v_now),
            p_lease, v_now, 1) AS d
        WHERE l.answers OR l.host = 'ping'
           OR (webhook_lane_room_v1(l.id, l.leases_from, false, 1, p_lease, v_now)).room > 0
    )
    SELECT ARRAY(SELECT w.id FROM waiting w WHERE w.place <= p_each ORDER BY w.place, w.due LIMIT p_most),
        ARRAY(SELECT w.id FROM waiting w WHERE w.due < w.due_from)
    INTO v_lanes, v_late;
    IF v_late <> '{}' THEN
        UPDATE webhook_lanes l SET due_from = NULL
        WHERE l.id = ANY (ARRAY(
            SELECT b.id FROM webhook_lanes b WHERE b.id = ANY (v_late) ORDER BY b.id
            FOR NO KEY UPDATE SKIP LOCKED));
    END IF;
    RETURN QUERY SELECT v_lanes, v_walk[p_walk];
END $$;

-- Records the results of attempts. For each it writes the delivery's next status and time, the attempt, and
-- a change of the lane's health. Each row has its own fence: a delivery whose lease has another owner
-- meanwhile, or whose attempt is recorded, does not change (`written` is false). A lane changes only if its
-- failures are as they were at the claim (p_known). The results of one lane are applied in order.
--
-- Deliveries are locked in the order of their ids, and lanes after them. There is no row for a delivery that
-- another transaction has locked; with p_wait the function waits for it.
CREATE FUNCTION record_deliveries_v1(p_ids uuid[], p_attempts integer[], p_owners text[], p_statuses text[],
    p_waits interval[], p_at timestamptz[], p_durations integer[], p_status_codes integer[], p_errors text[],
    p_bodies text[], p_error_codes text[], p_lanes uuid[], p_failures integer[], p_closed_for interval[],
    p_known integer[], p_wait boolean)
RETURNS TABLE (number integer, written boolean, lane_changed boolean)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_now     timestamptz;
    v_rows    tid[];
    v_written integer[];
    v_health  integer[];
    v_changed integer[] := '{}';
    v_number  integer;
BEGIN
    IF p_wait THEN
        SELECT array_agg(d.slot ORDER BY i.item) INTO v_rows
        FROM (SELECT * FROM unnest(p_ids) WITH ORDINALITY AS i (id, item) ORDER BY i.id) i
        LEFT JOIN LATERAL (
            SELECT d.ctid AS slot FROM webhook_deliveries d WHERE d.id = i.id
            OFFSET 0 FOR NO KEY UPDATE) d ON true;
    ELSE
        SELECT array_agg(d.slot ORDER BY i.item) INTO v_rows
        FROM (SELECT * FROM unnest(p_ids) WITH ORDINALITY AS i (id, item) ORDER BY i.id) i
        LEFT JOIN LATERAL (
            SELECT d.ctid AS slot FROM webhook_deliveries d WHERE d.id = i.id
            OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED) d ON true;
    END IF;
    v_now := capi_now();
    WITH mine AS (
        UPDATE webhook_deliveries d
        SET status = r.status,
            next_attempt_at = CASE WHEN r.status <> 'retrying' THEN NULL
                WHEN d.due_at IS NULL THEN v_now + r.wait ELSE d.next_attempt_at END,
            due_at = CASE WHEN r.status = 'retrying' AND d.due_at IS NOT NULL THEN v_now + r.wait END,
            lease_owner = NULL, lease_expires_at = NULL, lost_claims = 0
        FROM unnest(v_rows, p_attempts, p_owners, p_statuses, p_waits) WITH ORDINALITY
            AS r (slot, attempt, owner, status, wait, number)
        WHERE d.ctid = r.slot AND d.attempt = r.attempt AND (d.lease_owner = r.owner) IS TRUE
          AND (d.status IN ('pending', 'retrying')) IS TRUE
        RETURNING d.id, d.attempt, r.number::integer AS number
    ), noted AS (
        INSERT INTO webhook_attempts
            (delivery_id, number, at, duration_ms, status_code, error, response_body, error_code)
        SELECT mine.id, mine.attempt, p_at[mine.number], p_durations[mine.number],
            p_status_codes[mine.number], p_errors[mine.number], p_bodies[mine.number],
            p_error_codes[mine.number]
        FROM mine
    )
    SELECT coalesce(array_agg(mine.number ORDER BY mine.number), '{}') INTO v_written FROM mine;
    v_health := ARRAY(SELECT n FROM unnest(v_written) n WHERE p_failures[n] IS NOT NULL ORDER BY n);
    IF v_health <> '{}' THEN
        PERFORM 1 FROM webhook_lanes l WHERE l.id = ANY (ARRAY(SELECT p_lanes[n] FROM unnest(v_health) n))
        ORDER BY l.id FOR NO KEY UPDATE;
        FOREACH v_number IN ARRAY v_health LOOP
            UPDATE webhook_lanes l
            SET failures = p_failures[v_number], closed_until = v_now + p_closed_for[v_number],
                last_error = CASE WHEN p_failures[v_number] > 0 THEN p_error_codes[v_number] END
            WHERE l.id = p_lanes[v_number] AND l.failures IS NOT DISTINCT FROM p_known[v_number];
            IF FOUND THEN
                v_changed := v_changed || v_number;
            END IF;
        END LOOP;
    END IF;
    RETURN QUERY
    SELECT n, n = ANY (v_written), n = ANY (v_changed) FROM generate_subscripts(p_ids, 1) n
    WHERE p_wait OR v_rows[n] IS NOT NULL;
END $$;

-- Like the former functions, but the same event has always the same id.
CREATE OR REPLACE FUNCTION add_started_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := capi_now();
BEGIN
    INSERT INTO webhook_deliveries
        (id, lane_id, user_id, event_run_id, type, url, status, next_attempt_at, due_at, created_at)
    VALUES (webhook_id_v1(NEW.id, 'run.started', NULL), webhook_lane_v1(NEW.user_id, NEW.webhook_host),
        NEW.user_id, NEW.id, 'run.started', NEW.webhook_url, 'pending', 'infinity', v_now, v_now)
    ON CONFLICT (id) DO NOTHING;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION add_artifact_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := capi_now();
    v_run record;
BEGIN
    SELECT r.id, r.user_id, r.webhook_url, r.webhook_host INTO v_run FROM runs r
    WHERE r.id = NEW.run_id AND 'run.artifact' = ANY (r.webhook_events);
    IF FOUND THEN
        INSERT INTO webhook_deliveries
            (id, lane_id, user_id, event_run_id, artifact_id, type, url, status, next_attempt_at, due_at,
             created_at)
        VALUES (webhook_id_v1(v_run.id, 'run.artifact', NEW.id),
            webhook_lane_v1(v_run.user_id, v_run.webhook_host), v_run.user_id, v_run.id, NEW.id,
            'run.artifact', v_run.webhook_url, 'pending', 'infinity', v_now, v_now)
        ON CONFLICT (id) DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
