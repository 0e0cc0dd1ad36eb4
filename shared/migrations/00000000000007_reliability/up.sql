-- When the worker released a cancelled run. Without a default, adding the column rewrites no row.
ALTER TABLE runs ADD COLUMN released_at timestamptz;

-- A create with the same key on the same path returns the same run until expires_at.
CREATE TABLE idempotency_keys (
    user_id      uuid NOT NULL REFERENCES users,
    path         text NOT NULL,
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
    run_id       uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (user_id, path, key)
);
CREATE INDEX idempotency_keys_by_run ON idempotency_keys (run_id);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

-- Workers that take runs. Each reports every few seconds.
CREATE TABLE workers (
    id          text PRIMARY KEY,
    reported_at timestamptz NOT NULL
) WITH (fillfactor = 50);
