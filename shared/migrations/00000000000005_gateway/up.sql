ALTER TABLE runs ADD COLUMN queue_timeout_seconds integer NOT NULL DEFAULT 86400
    CHECK (queue_timeout_seconds BETWEEN 1 AND 604800);

-- Lists are ordered by the database's clock. Each list has an index in its order, so that each page costs the
-- same. No index holds a column that a heartbeat or an append changes.
DROP INDEX runs_by_user;
CREATE INDEX runs_by_user ON runs (user_id, created_at, id);
CREATE INDEX runs_by_status ON runs (user_id, status, created_at, id);
CREATE INDEX runs_from_console ON runs (user_id, created_at, id) WHERE source = 'console';
CREATE INDEX runs_by_app ON runs (user_id, app_id, created_at, id);

-- A copy of the pairs in runs.metadata, by which lists filter.
CREATE TABLE run_metadata (
    user_id    uuid NOT NULL,
    key        text NOT NULL,
    value      text NOT NULL,
    created_at timestamptz NOT NULL,
    run_id     uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    PRIMARY KEY (run_id, key)
);
INSERT INTO run_metadata (user_id, key, value, created_at, run_id)
SELECT r.user_id, p.key, p.value, r.created_at, r.id FROM runs r, jsonb_each_text(r.metadata) p;
CREATE INDEX run_metadata_by_pair ON run_metadata (user_id, key, value, created_at, run_id);

-- Files that a run published. Their bytes are in the artifact store under runs/{run_id}/artifacts/{id}.
CREATE TABLE artifacts (
    id         uuid PRIMARY KEY,
    run_id     uuid NOT NULL REFERENCES runs,
    type       text NOT NULL CHECK (length(type) BETWEEN 3 AND 255),
    title      text NOT NULL CHECK (length(title) BETWEEN 1 AND 255),
    size       bigint NOT NULL CHECK (size >= 0),
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT capi_now()
);
CREATE INDEX artifacts_by_run ON artifacts (run_id, created_at, id);

-- The open waits of each user over all gateways, with their ends. The rows of a dead gateway stay until then.
CREATE UNLOGGED TABLE open_waits (
    user_id  uuid PRIMARY KEY,
    ends     timestamptz[] NOT NULL,
    admitted boolean NOT NULL
) WITH (fillfactor = 50);
