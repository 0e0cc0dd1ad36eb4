-- The clock of all processes. Tests replace this function to shift time.
CREATE FUNCTION capi_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    password_hash text NOT NULL,
    plan          text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT capi_now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

-- Statements that must be exact per user, like a claim, lock this row. `users` is never locked FOR UPDATE:
-- foreign keys lock it FOR KEY SHARE, and the two locks would wait for each other.
CREATE TABLE user_slots (
    user_id uuid PRIMARY KEY REFERENCES users
);

CREATE TABLE api_keys (
    id             uuid PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users,
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    sha256         bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    display_prefix text NOT NULL,
    app_id         uuid,
    expires_at     timestamptz,
    last_used_at   timestamptz,
    revoked_at     timestamptz,
    created_at     timestamptz NOT NULL DEFAULT capi_now()
);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at);

-- The requests of each user in the last 60 s. Unlogged: after a crash of the database the table is empty.
CREATE UNLOGGED TABLE rate_windows (
    user_id  uuid PRIMARY KEY,
    places   integer NOT NULL CHECK (places > 0),
    stamps   timestamptz[] NOT NULL,
    admitted boolean NOT NULL
) WITH (fillfactor = 50);
