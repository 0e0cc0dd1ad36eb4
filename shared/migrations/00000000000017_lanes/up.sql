-- Whether the host of a lane works. Former versions neither read nor write these columns, which is harmless:
-- their dispatchers also claim from a closed lane.
ALTER TABLE webhook_lanes
    -- Failures of the host in a row. Null: no attempt yet.
    ADD COLUMN failures integer,
    -- No delivery is claimed before this time, except one that a person asked for. Null: the lane is open.
    ADD COLUMN closed_until timestamptz,
    -- The code of the last failure.
    ADD COLUMN last_error text;
CREATE INDEX webhook_lanes_closed ON webhook_lanes (closed_until) WHERE closed_until IS NOT NULL;

-- When an open delivery is attempted next: not before its lane opens, unless a person sends it again. Null if
-- it is over.
CREATE FUNCTION webhook_next_attempt_v1(p_lane uuid, p_due timestamptz, p_again boolean) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_due IS NULL OR p_again THEN p_due
        ELSE greatest(p_due, (SELECT l.closed_until FROM webhook_lanes l WHERE l.id = p_lane)) END
$$;

-- Whether the next attempt of a delivery is the first one after a person sent it again.
CREATE FUNCTION webhook_sent_again_v1(p_scheduled timestamptz, p_attempt integer, p_earlier integer)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT p_scheduled IS NOT NULL AND p_attempt = p_earlier
$$;

-- Like claim_delivery_v1, with circuits and shares, also for deliveries that are due by due_at. Of both kinds
-- the oldest comes first.
--
-- A lane whose host answered last time has p_share requests in flight over all dispatchers. Any other lane is
-- doubtful and has one. A closed lane has one, and only a delivery that a person sends again; after
-- `closed_until` its oldest due delivery probes the host.
--
-- The lane `ping` holds a user's tests, for all hosts. It is never closed or full, and has p_share. It waits
-- only without p_doubtful.
--
-- p_full names the users whose lanes must wait, p_doubtful_full those whose doubtful lanes must wait. Without
-- p_doubtful all doubtful lanes wait. `more` says that the lane has room for another due delivery.
--
-- The orders and conditions match the indexes (lane_id, next_attempt_at) and (lane_id, due_at), so that a long
-- backlog costs one row, also before the table has statistics. Only open deliveries have `due_at`.
--
-- SKIP LOCKED: a dispatcher that records an attempt locks its delivery first and then the lane.
CREATE FUNCTION claim_delivery_v2(p_lane uuid, p_owner text, p_lease interval, p_share integer, p_full uuid[],
    p_doubtful_full uuid[], p_doubtful boolean)
RETURNS TABLE (id uuid, attempt integer, user_id uuid, run_id uuid, type text, url text, claimed_at timestamptz,
    created_at timestamptz, artifact_id uuid, earlier_attempts integer, scheduled_at timestamptz,
    lane_id uuid, failures integer, more boolean)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz;
    v_lane record;
    v_share integer;
    v_in_flight integer;
    v_id uuid;
BEGIN
    -- Most nudges of a busy user end here, without a lock.
    PERFORM 1 FROM webhook_lanes l WHERE l.id = p_lane AND CASE WHEN l.host = 'ping' THEN p_doubtful
        ELSE NOT l.user_id = ANY (p_full)
            AND (l.failures = 0 OR (p_doubtful AND NOT l.user_id = ANY (p_doubtful_full))) END;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT CASE WHEN l.host = 'ping' THEN 0 ELSE l.failures END AS failures, l.closed_until INTO v_lane
    FROM webhook_lanes l WHERE l.id = p_lane FOR NO KEY UPDATE;
    v_now := capi_now();
    v_share := CASE WHEN v_lane.failures = 0 THEN p_share ELSE 1 END;
    v_in_flight := (SELECT count(*) FROM webhook_deliveries x
        WHERE x.lane_id = p_lane AND x.lease_owner IS NOT NULL AND x.lease_expires_at > v_now);
    IF v_in_flight >= v_share THEN
        RETURN;
    END IF;
    IF v_lane.closed_until > v_now THEN
        -- Of the newest only: older ones of other types may be many.
        SELECT d.id INTO v_id FROM (
            SELECT n.id FROM webhook_deliveries n
            WHERE n.lane_id = p_lane AND n.due_at <= v_now ORDER BY n.due_at DESC LIMIT 100) newest
        JOIN webhook_deliveries d ON d.id = newest.id
        WHERE d.status IN ('pending', 'retrying') AND d.due_at <= v_now
          AND (d.lease_expires_at IS NULL OR d.lease_expires_at <= v_now)
          AND webhook_sent_again_v1(d.scheduled_at, d.attempt, d.earlier_attempts)
        ORDER BY d.due_at, d.id LIMIT 1 FOR NO KEY UPDATE OF d SKIP LOCKED;
    ELSE
        SELECT d.id INTO v_id FROM (
            (SELECT n.id, n.next_attempt_at AS due FROM webhook_deliveries n
             WHERE n.lane_id = p_lane AND n.status IN ('pending', 'retrying') AND n.next_attempt_at <= v_now
               AND (n.lease_expires_at IS NULL OR n.lease_expires_at <= v_now)
             ORDER BY n.next_attempt_at LIMIT 1)
            UNION ALL
            (SELECT n.id, n.due_at FROM webhook_deliveries n
             WHERE n.lane_id = p_lane AND n.due_at <= v_now
               AND (n.lease_expires_at IS NULL OR n.lease_expires_at <= v_now)
             ORDER BY n.due_at LIMIT 1)) oldest
        JOIN webhook_deliveries d ON d.id = oldest.id
        WHERE d.status IN ('pending', 'retrying') AND (d.lease_expires_at IS NULL OR d.lease_expires_at <= v_now)
        ORDER BY oldest.due, d.id LIMIT 1 FOR NO KEY UPDATE OF d SKIP LOCKED;
    END IF;
    RETURN QUERY
    UPDATE webhook_deliveries d
    SET attempt = d.attempt + 1, lease_owner = p_owner, lease_expires_at = v_now + p_lease
    WHERE d.id = v_id
    RETURNING d.id, d.attempt, d.user_id, coalesce(d.run_id, d.event_run_id), d.type, d.url, v_now, d.created_at,
        d.artifact_id, d.earlier_attempts, coalesce(d.scheduled_at, d.created_at), p_lane, v_lane.failures,
        v_in_flight + 1 < v_share AND EXISTS (
            SELECT 1 FROM webhook_deliveries n
            WHERE n.lane_id = p_lane AND n.status IN ('pending', 'retrying') AND n.next_attempt_at <= v_now
              AND n.id <> d.id AND (n.lease_expires_at IS NULL OR n.lease_expires_at <= v_now));
END $$;

-- The lanes with a due delivery that may be claimed now, of at most p_walk lanes with open deliveries after
-- p_after. `walked_to` is the last lane that it looked at; null at the end of the lanes. So a sweep has a bound,
-- and the next one goes on.
--
-- Each user's longest waiting lane comes first, then each user's second one, up to p_each of a user. The lanes
-- whose hosts work are ranked apart from the doubtful ones. So many lanes delay neither another user nor the
-- user's own lane that works. It steps from lane to lane in the index, so that a backlog of one lane costs one
-- row.
CREATE FUNCTION webhook_lanes_due_v1(p_after uuid, p_walk integer, p_most bigint, p_each integer)
RETURNS TABLE (lanes uuid[], walked_to uuid) LANGUAGE sql VOLATILE AS $$
    WITH RECURSIVE clock AS MATERIALIZED (SELECT capi_now() AS now), walked AS (
        (SELECT d.lane_id AS id, 1 AS number FROM webhook_deliveries d
         WHERE d.status IN ('pending', 'retrying') AND d.lane_id > p_after ORDER BY d.lane_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.lane_id FROM webhook_deliveries d
                WHERE d.status IN ('pending', 'retrying') AND d.lane_id > walked.id ORDER BY d.lane_id LIMIT 1),
            walked.number + 1
        FROM walked WHERE walked.id IS NOT NULL AND walked.number < p_walk
    ), waiting AS (
        SELECT l.id, l.user_id, coalesce(l.failures = 0, false) AS works, least(ending.due, other.due) AS due
        FROM clock, walked JOIN webhook_lanes l ON l.id = walked.id
        LEFT JOIN LATERAL (
            SELECT d.next_attempt_at AS due FROM webhook_deliveries d
            WHERE d.lane_id = l.id AND d.status IN ('pending', 'retrying') AND d.next_attempt_at <= clock.now
              AND (d.lease_expires_at IS NULL OR d.lease_expires_at <= clock.now)
            ORDER BY d.next_attempt_at LIMIT 1) ending ON true
        LEFT JOIN LATERAL (
            SELECT d.due_at AS due FROM webhook_deliveries d
            WHERE d.lane_id = l.id AND d.due_at <= clock.now
              AND (d.lease_expires_at IS NULL OR d.lease_expires_at <= clock.now)
            ORDER BY d.due_at LIMIT 1) other ON true
        WHERE (l.failures = 0 OR l.host = 'ping' OR NOT EXISTS (
              SELECT 1 FROM webhook_deliveries x
              WHERE x.lane_id = l.id AND x.lease_owner IS NOT NULL AND x.lease_expires_at > clock.now))
          AND (l.closed_until IS NULL OR l.closed_until <= clock.now OR EXISTS (
              -- A delivery that a person sends again passes a closed lane.
              SELECT 1 FROM (
                  SELECT d.scheduled_at, d.attempt, d.earlier_attempts FROM webhook_deliveries d
                  WHERE d.lane_id = l.id AND d.due_at <= clock.now ORDER BY d.due_at DESC LIMIT 100) newest
              WHERE webhook_sent_again_v1(newest.scheduled_at, newest.attempt, newest.earlier_attempts)))
    ), placed AS (
        SELECT id, due, row_number() OVER (PARTITION BY user_id, works ORDER BY due) AS place
        FROM waiting WHERE due IS NOT NULL
    )
    SELECT ARRAY(SELECT id FROM placed WHERE place <= p_each ORDER BY place, due LIMIT p_most),
        (SELECT id FROM walked WHERE number = p_walk)
$$;

-- Ends deliveries whose time is over while their lane is closed. Nothing was sent, so the attempt that it
-- records names the reason. Returns how many it ended.
CREATE FUNCTION expire_deliveries_v1(p_after interval, p_most integer) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    WITH clock AS MATERIALIZED (SELECT capi_now() AS now), late AS (
        SELECT d.id, l.last_error FROM clock, webhook_deliveries d JOIN webhook_lanes l ON l.id = d.lane_id
        WHERE d.status IN ('pending', 'retrying')
          AND coalesce(d.scheduled_at, d.created_at) <= clock.now - p_after
          AND (d.lease_expires_at IS NULL OR d.lease_expires_at <= clock.now)
          AND l.closed_until > clock.now
        ORDER BY coalesce(d.scheduled_at, d.created_at) LIMIT p_most
        FOR NO KEY UPDATE OF d SKIP LOCKED
    ), ended AS (
        UPDATE webhook_deliveries d
        SET status = 'failed', attempt = d.attempt + 1, next_attempt_at = NULL, due_at = NULL,
            lease_owner = NULL, lease_expires_at = NULL
        FROM late WHERE d.id = late.id
        RETURNING d.id, d.attempt, late.last_error
    ), noted AS (
        INSERT INTO webhook_attempts (delivery_id, number, at, duration_ms, error, error_code)
        SELECT ended.id, ended.attempt, clock.now, 0,
            'The time for this webhook ended while the receiver did not work (' || coalesce(ended.last_error, 'unknown')
            || '). This last request was not sent.', 'not_sent'
        FROM ended, clock
        RETURNING 1
    )
    SELECT count(*) FROM noted
$$;
