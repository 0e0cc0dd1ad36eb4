-- Sessions of the console. The table holds only hashes of the tokens of browsers.
CREATE TABLE sessions (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users,
    sha256          bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    -- The token before the last rotation, which requests in flight during the rotation carry.
    previous_sha256 bytea UNIQUE CHECK (octet_length(previous_sha256) = 32),
    rotated_at      timestamptz NOT NULL DEFAULT capi_now(),
    last_seen_at    timestamptz NOT NULL DEFAULT capi_now(),
    created_at      timestamptz NOT NULL DEFAULT capi_now()
);
CREATE INDEX sessions_by_user ON sessions (user_id, last_seen_at);
CREATE INDEX sessions_by_last_seen ON sessions (last_seen_at);

-- Changes to an account. Each row is written in the transaction of its change.
CREATE TABLE audit_log (
    id      uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    at      timestamptz NOT NULL DEFAULT capi_now(),
    actor   text NOT NULL CHECK (length(actor) BETWEEN 1 AND 120),
    action  text NOT NULL,
    subject text NOT NULL CHECK (length(subject) <= 200),
    address text
);
CREATE INDEX audit_log_by_user ON audit_log (user_id, at, id);
