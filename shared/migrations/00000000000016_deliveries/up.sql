-- Deliveries that dispatchers of the former version must not send: a delivery that is sent again, one of an
-- event that does not end its run, and a test. Those dispatchers claim by `next_attempt_at`. So such a
-- delivery has 'infinity' there while it is open, and its time in `due_at`, which only claim_delivery_v2
-- reads.
--
-- A run has one delivery of its end at most, and former versions join deliveries to runs by `run_id`. So
-- `run_id` stays unique, and a delivery of another event names its run in `event_run_id`. It is deleted with
-- its run, also by a former version.
--
-- Each constraint is NOT VALID, which avoids a scan under an exclusive lock. New rows are checked.
ALTER TABLE webhook_deliveries
    ALTER COLUMN run_id DROP NOT NULL,
    -- A later migration adds its reference, when it has an index.
    ADD COLUMN event_run_id uuid,
    -- The app of its run. A trigger sets it. Null for a test.
    ADD COLUMN app_id uuid,
    -- Of `run.artifact`. It has no reference: the artifact is deleted with its run.
    ADD COLUMN artifact_id uuid,
    ADD COLUMN due_at timestamptz,
    -- Sending again starts a new schedule: the attempts before it, and its start. Null: created_at.
    ADD COLUMN earlier_attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN scheduled_at timestamptz,
    DROP CONSTRAINT webhook_deliveries_type_check,
    ADD CONSTRAINT webhook_deliveries_type_known CHECK (CASE
        WHEN type IN ('run.completed', 'run.failed', 'run.cancelled')
            THEN run_id IS NOT NULL AND event_run_id IS NULL AND artifact_id IS NULL
        WHEN type = 'run.started' THEN run_id IS NULL AND event_run_id IS NOT NULL AND artifact_id IS NULL
        WHEN type = 'run.artifact' THEN run_id IS NULL AND event_run_id IS NOT NULL AND artifact_id IS NOT NULL
        WHEN type = 'ping' THEN run_id IS NULL AND event_run_id IS NULL AND artifact_id IS NULL
        ELSE false END) NOT VALID,
    ADD CONSTRAINT webhook_deliveries_due_once
        CHECK (due_at IS NULL OR next_attempt_at = 'infinity') NOT VALID;

-- `error` has the sentence, `error_code` its code. Attempts that a former version recorded have none.
ALTER TABLE webhook_attempts
    ADD COLUMN error_code text,
    DROP CONSTRAINT webhook_attempts_delivery_id_fkey,
    ADD CONSTRAINT webhook_attempts_delivery_id_fkey
        FOREIGN KEY (delivery_id) REFERENCES webhook_deliveries ON DELETE CASCADE NOT VALID;

-- The events that the client asked for. Null: the three ends of a run.
ALTER TABLE runs ADD COLUMN webhook_events text[];

-- The code of an attempt's error. Former versions stored only the sentence.
CREATE FUNCTION webhook_error_code_v1(p_code text, p_sentence text, p_status integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN p_code IS NOT NULL THEN p_code
        WHEN p_sentence IS NULL THEN NULL
        WHEN p_status NOT BETWEEN 200 AND 299 THEN 'status'
        WHEN p_sentence LIKE '%not a public address%' OR p_sentence = 'The host has no public address.'
            THEN 'address_not_allowed'
        WHEN p_sentence = 'The host name cannot be resolved.' THEN 'dns_failed'
        WHEN p_sentence = 'The host refused the connection.' THEN 'connect_refused'
        WHEN p_sentence = 'No connection to the host was made in time.' THEN 'connect_timeout'
        WHEN p_sentence = 'The host cannot be reached.' THEN 'connect_failed'
        WHEN p_sentence = 'The TLS handshake with the host failed.' THEN 'tls_failed'
        WHEN p_sentence = 'The TLS certificate of the host is not valid.' THEN 'tls_certificate_invalid'
        WHEN p_sentence = 'The host did not send its whole answer in time.' THEN 'timeout'
        WHEN p_sentence = 'The host closed the connection before the end of its answer.' THEN 'connection_reset'
        WHEN p_sentence = 'The host did not answer with valid HTTP.' THEN 'invalid_response'
        ELSE 'not_sent' END
$$;

-- A UUIDv7 of this time: 48 bits of milliseconds, the version, the variant, and random bits.
CREATE FUNCTION capi_uuid_v7(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM at) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1),
        'hex')::uuid
$$;

-- The lane of a user's webhooks to a host. Makes it if there is none.
CREATE FUNCTION webhook_lane_v1(p_user uuid, p_host text) RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_lane uuid;
BEGIN
    SELECT l.id INTO v_lane FROM webhook_lanes l WHERE l.user_id = p_user AND l.host = p_host;
    IF NOT FOUND THEN
        INSERT INTO webhook_lanes (id, user_id, host) VALUES (capi_uuid_v7(capi_now()), p_user, p_host)
        ON CONFLICT (user_id, host) DO UPDATE SET host = EXCLUDED.host RETURNING id INTO v_lane;
    END IF;
    RETURN v_lane;
END $$;

-- Triggers, and not the statements of the services: a worker of the former version may start or end a run
-- whose client asked for events, and that worker knows nothing of them.
CREATE FUNCTION keep_wanted_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_events text[];
BEGIN
    SELECT r.app_id, r.webhook_events INTO NEW.app_id, v_events
    FROM runs r WHERE r.id = coalesce(NEW.run_id, NEW.event_run_id);
    IF NOT NEW.type = ANY (v_events) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER webhook_deliveries_wanted BEFORE INSERT ON webhook_deliveries FOR EACH ROW
    WHEN (NEW.type <> 'ping') EXECUTE FUNCTION keep_wanted_delivery();

CREATE FUNCTION add_started_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := capi_now();
BEGIN
    INSERT INTO webhook_deliveries
        (id, lane_id, user_id, event_run_id, type, url, status, next_attempt_at, due_at, created_at)
    VALUES (capi_uuid_v7(v_now), webhook_lane_v1(NEW.user_id, NEW.webhook_host), NEW.user_id, NEW.id,
        'run.started', NEW.webhook_url, 'pending', 'infinity', v_now, v_now);
    RETURN NULL;
END $$;
CREATE TRIGGER runs_started AFTER UPDATE OF status ON runs FOR EACH ROW
    WHEN (OLD.status = 'pending' AND NEW.status = 'running' AND 'run.started' = ANY (NEW.webhook_events))
    EXECUTE FUNCTION add_started_delivery();

CREATE FUNCTION add_artifact_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
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
        VALUES (capi_uuid_v7(v_now), webhook_lane_v1(v_run.user_id, v_run.webhook_host), v_run.user_id, v_run.id,
            NEW.id, 'run.artifact', v_run.webhook_url, 'pending', 'infinity', v_now, v_now);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER artifacts_delivered AFTER INSERT ON artifacts FOR EACH ROW
    EXECUTE FUNCTION add_artifact_delivery();

-- Like delete_old_runs_v1, also for deliveries of events: a run stays while one of them is open. A run that is
-- locked gets no new delivery.
CREATE FUNCTION delete_old_runs_v2(p_user uuid, p_days jsonb, p_runs integer, p_events integer,
    OUT runs bigint, OUT events bigint, OUT files bigint, OUT artifacts bigint, OUT deliveries bigint,
    OUT stored uuid[], OUT more boolean)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_before     timestamptz;
    v_ids        uuid[];
    v_deliveries uuid[];
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
          AND NOT EXISTS (
              SELECT 1 FROM webhook_deliveries d
              WHERE d.event_run_id = r.id AND d.status IN ('pending', 'retrying'))
        ORDER BY r.created_at, r.id LIMIT p_runs
        FOR UPDATE OF r SKIP LOCKED);
    more := cardinality(v_ids) = p_runs;
    v_deliveries := ARRAY(
        SELECT d.id FROM webhook_deliveries d WHERE d.run_id = ANY (v_ids)
        UNION ALL SELECT d.id FROM webhook_deliveries d WHERE d.event_run_id = ANY (v_ids));
    PERFORM 1 FROM webhook_deliveries d WHERE d.id = ANY (v_deliveries) ORDER BY d.id FOR UPDATE;
    -- A redelivery may have come before the lock.
    v_ids := ARRAY(
        SELECT due.run FROM unnest(v_ids) AS due (run)
        WHERE NOT EXISTS (
            SELECT 1 FROM webhook_deliveries d
            WHERE d.id = ANY (v_deliveries) AND coalesce(d.run_id, d.event_run_id) = due.run
              AND d.status IN ('pending', 'retrying')));
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
    -- With their attempts.
    DELETE FROM webhook_deliveries d
        WHERE d.id = ANY (v_deliveries) AND coalesce(d.run_id, d.event_run_id) = ANY (v_ids);
    GET DIAGNOSTICS deliveries = ROW_COUNT;
    DELETE FROM run_files f WHERE f.run_id = ANY (v_ids);
    GET DIAGNOSTICS files = ROW_COUNT;
    DELETE FROM artifacts a WHERE a.run_id = ANY (v_ids);
    GET DIAGNOSTICS artifacts = ROW_COUNT;
    DELETE FROM runs r WHERE r.id = ANY (v_ids);
    GET DIAGNOSTICS runs = ROW_COUNT;
END $$;
