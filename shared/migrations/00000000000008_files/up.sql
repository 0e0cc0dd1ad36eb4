-- Input files of runs. Their bytes are in the store. The agent finds each under inputs/ with this name.
CREATE TABLE run_files (
    id     uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES runs,
    name   text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 255),
    -- The media type, from the bytes or the name.
    type   text NOT NULL,
    size   bigint NOT NULL CHECK (size >= 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    UNIQUE (run_id, name)
);
