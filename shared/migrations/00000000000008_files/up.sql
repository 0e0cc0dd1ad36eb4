-- Files that a run's caller gave; their bytes are in the store. The name is what the agent finds under inputs/.
CREATE TABLE run_files (
    id     uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES runs,
    name   text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 255),
    -- Media type, as the bytes or the name say.
    type   text NOT NULL,
    size   bigint NOT NULL CHECK (size >= 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    UNIQUE (run_id, name)
);
