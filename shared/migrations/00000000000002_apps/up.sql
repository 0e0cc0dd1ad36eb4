CREATE TABLE apps (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    current_version integer NOT NULL DEFAULT 1,
    archived_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT capi_now(),
    updated_at      timestamptz NOT NULL DEFAULT capi_now()
);
CREATE UNIQUE INDEX apps_by_user_and_name ON apps (user_id, name) WHERE archived_at IS NULL;
CREATE INDEX apps_by_user ON apps (user_id, created_at, id);

-- A version never changes, because runs refer to it.
CREATE TABLE app_versions (
    id         uuid PRIMARY KEY,
    app_id     uuid NOT NULL REFERENCES apps,
    version    integer NOT NULL CHECK (version > 0),
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT capi_now(),
    UNIQUE (app_id, version)
);

ALTER TABLE api_keys ADD CONSTRAINT api_keys_app_id_fkey FOREIGN KEY (app_id) REFERENCES apps;
