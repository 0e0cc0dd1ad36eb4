-- Encrypted with CAPI_SECRET_KEY. The value starts with the id of the key.
CREATE TABLE webhook_secrets (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users,
    sealed     bytea NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT capi_now()
);
CREATE UNIQUE INDEX webhook_secrets_current ON webhook_secrets (user_id) WHERE expires_at IS NULL;
CREATE INDEX webhook_secrets_by_user ON webhook_secrets (user_id, created_at);

-- A lane holds the deliveries of one user to one host. A slow receiver can delay only its own lane.
CREATE TABLE webhook_lanes (
    id      uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    host    text NOT NULL,
    UNIQUE (user_id, host)
);

CREATE TABLE webhook_deliveries (
    id               uuid PRIMARY KEY,
    lane_id          uuid NOT NULL REFERENCES webhook_lanes,
    user_id          uuid NOT NULL REFERENCES users,
    run_id           uuid NOT NULL REFERENCES runs UNIQUE,
    type             text NOT NULL CHECK (type IN ('run.completed', 'run.failed', 'run.cancelled')),
    url              text NOT NULL,
    status           text NOT NULL CHECK (status IN ('pending', 'retrying', 'delivered', 'failed')),
    attempt          integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz,
    lease_owner      text,
    lease_expires_at timestamptz,
    created_at       timestamptz NOT NULL,
    CONSTRAINT webhook_deliveries_open_is_due CHECK ((status IN ('pending', 'retrying')) = (next_attempt_at IS NOT NULL)),
    CONSTRAINT webhook_deliveries_lease_whole CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (lane_id, next_attempt_at) WHERE status IN ('pending', 'retrying');

CREATE TABLE webhook_attempts (
    delivery_id   uuid NOT NULL REFERENCES webhook_deliveries,
    number        integer NOT NULL CHECK (number > 0),
    at            timestamptz NOT NULL,
    duration_ms   integer NOT NULL,
    status_code   integer,
    error         text,
    response_body text,
    PRIMARY KEY (delivery_id, number)
);

-- Leases the oldest due delivery of a lane, if fewer than p_share deliveries of the lane are in flight over
-- all dispatchers. As in claim_run_v1, the count is a separate statement after the lock.
CREATE FUNCTION claim_delivery_v1(p_lane uuid, p_owner text, p_lease interval, p_share integer)
RETURNS TABLE (id uuid, attempt integer, user_id uuid, run_id uuid, type text, url text, claimed_at timestamptz, created_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz;
BEGIN
    PERFORM 1 FROM webhook_lanes l WHERE l.id = p_lane FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_now := capi_now();
    RETURN QUERY
    WITH due AS (
        SELECT d.id
        FROM webhook_deliveries d
        WHERE d.lane_id = p_lane AND d.status IN ('pending', 'retrying') AND d.next_attempt_at <= v_now
          AND (d.lease_expires_at IS NULL OR d.lease_expires_at <= v_now)
          AND (SELECT count(*) FROM webhook_deliveries x
               WHERE x.lane_id = p_lane AND x.status IN ('pending', 'retrying') AND x.lease_expires_at > v_now) < p_share
        ORDER BY d.next_attempt_at, d.id
        LIMIT 1
        FOR NO KEY UPDATE
    )
    UPDATE webhook_deliveries d
    SET attempt = d.attempt + 1, lease_owner = p_owner, lease_expires_at = v_now + p_lease
    FROM due
    WHERE d.id = due.id
    RETURNING d.id, d.attempt, d.user_id, d.run_id, d.type, d.url, v_now, d.created_at;
END $$;
