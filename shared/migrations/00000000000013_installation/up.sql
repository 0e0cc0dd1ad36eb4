-- The id of this installation. The artifact store holds the same id, and only the installation with that id
-- may delete from the store.
CREATE TABLE installation (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT capi_now()
);
INSERT INTO installation (id) VALUES (gen_random_uuid());
