CREATE TABLE runs (
    id               uuid PRIMARY KEY,
    user_id          uuid NOT NULL REFERENCES users,
    app_id           uuid NOT NULL REFERENCES apps,
    app_version_id   uuid NOT NULL REFERENCES app_versions,
    api_key_id       uuid REFERENCES api_keys,
    source           text NOT NULL CHECK (source IN ('api', 'console')),
    status           text NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    title            text NOT NULL,
    inputs           jsonb NOT NULL,
    chat_model_id    text NOT NULL,
    webhook_url      text,
    webhook_host     text,
    metadata         jsonb NOT NULL,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    completed_at     timestamptz,
    -- `attempt` fences every write of a worker. `losses` counts the leases that expired since the last
    -- recorded step.
    attempt          integer NOT NULL DEFAULT 0,
    losses           integer NOT NULL DEFAULT 0,
    lease_owner      text,
    lease_expires_at timestamptz,
    last_seq         bigint NOT NULL,
    input_tokens     bigint NOT NULL DEFAULT 0,
    output_tokens    bigint NOT NULL DEFAULT 0,
    steps            integer NOT NULL DEFAULT 0,
    tool_calls       integer NOT NULL DEFAULT 0,
    result           jsonb,
    error_code       text,
    error            jsonb,
    CONSTRAINT runs_webhook_whole CHECK ((webhook_url IS NULL) = (webhook_host IS NULL)),
    CONSTRAINT runs_over_has_an_end CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CONSTRAINT runs_running_has_a_lease CHECK ((status = 'running') = (lease_expires_at IS NOT NULL)),
    CONSTRAINT runs_failed_has_a_code CHECK ((status = 'failed') = (error_code IS NOT NULL AND error IS NOT NULL)),
    CONSTRAINT runs_completed_has_a_result CHECK (status <> 'completed' OR result IS NOT NULL)
) WITH (fillfactor = 70);

-- No index holds a column that a heartbeat or an append changes, so these updates stay HOT.
CREATE INDEX runs_pending ON runs (user_id, created_at, id) WHERE status = 'pending';
CREATE INDEX runs_running ON runs (user_id) WHERE status = 'running';
CREATE INDEX runs_by_user ON runs (user_id, id);

-- The event log. Ranges of run_id are ranges of time (UUIDv7). The table has no foreign key, so that a
-- partition can be dropped.
CREATE TABLE run_events (
    run_id  uuid NOT NULL,
    seq     bigint NOT NULL CHECK (seq > 0),
    type    text NOT NULL,
    at      timestamptz NOT NULL,
    attempt integer NOT NULL,
    data    jsonb NOT NULL,
    PRIMARY KEY (run_id, seq)
) PARTITION BY RANGE (run_id);

CREATE FUNCTION capi_uuid_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

DO $$
DECLARE
    quarter timestamptz := '2026-10-01T00:00:00Z';
BEGIN
    WHILE quarter < '2030-01-01T00:00:00Z' LOOP
        EXECUTE format('CREATE TABLE run_events_%s PARTITION OF run_events FOR VALUES FROM (%L) TO (%L)',
            to_char(quarter AT TIME ZONE 'UTC', 'YYYY_"q"Q'),
            capi_uuid_floor(quarter),
            capi_uuid_floor((quarter AT TIME ZONE 'UTC' + interval '3 months') AT TIME ZONE 'UTC'));
        quarter := (quarter AT TIME ZONE 'UTC' + interval '3 months') AT TIME ZONE 'UTC';
    END LOOP;
END $$;
CREATE TABLE run_events_other PARTITION OF run_events DEFAULT;

-- Moves the user's oldest pending run to running, if the plan's cap allows one more running run. Otherwise
-- returns no row. The count and the move are a separate statement, after the one that waits for the lock. In
-- that one they would use the snapshot from before the wait, and two claims could both start the last run
-- that the cap allows. A changed function needs a new name, because workers of the former version call this
-- one.
CREATE FUNCTION claim_run_v1(p_user uuid, p_owner text, p_lease interval, p_caps jsonb, p_default_cap integer)
RETURNS TABLE (
    id uuid, attempt integer, last_seq bigint, losses integer, user_id uuid, plan text, chat_model_id text,
    inputs jsonb, definition jsonb, seconds_used double precision
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_plan text;
    v_cap  integer;
    v_now  timestamptz;
BEGIN
    PERFORM 1 FROM user_slots s WHERE s.user_id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT u.plan INTO v_plan FROM users u WHERE u.id = p_user;
    v_cap := coalesce((p_caps ->> v_plan)::integer, p_default_cap);
    v_now := capi_now();
    RETURN QUERY
    WITH next AS (
        SELECT r.id
        FROM runs r
        WHERE r.user_id = p_user AND r.status = 'pending'
          AND (SELECT count(*) FROM runs x WHERE x.user_id = p_user AND x.status = 'running') < v_cap
        ORDER BY r.created_at, r.id
        LIMIT 1
        FOR NO KEY UPDATE
    ), claimed AS (
        UPDATE runs r
        SET status = 'running', attempt = r.attempt + 1, last_seq = r.last_seq + 1, lease_owner = p_owner,
            lease_expires_at = v_now + p_lease, started_at = coalesce(r.started_at, v_now)
        FROM next
        WHERE r.id = next.id
        RETURNING r.*
    ), logged AS (
        INSERT INTO run_events (run_id, seq, type, at, attempt, data)
        SELECT c.id, c.last_seq, 'run.started', v_now, c.attempt, jsonb_build_object('worker', p_owner)
        FROM claimed c
    )
    SELECT c.id, c.attempt, c.last_seq, c.losses, c.user_id, v_plan, c.chat_model_id, c.inputs, v.definition,
           extract(epoch FROM v_now - c.started_at)::double precision
    FROM claimed c JOIN app_versions v ON v.id = c.app_version_id;
END $$;
