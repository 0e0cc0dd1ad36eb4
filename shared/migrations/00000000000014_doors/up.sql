-- First, because it may take a moment: the lock on `runs` below is held until the end of the migration.
-- The normal form of an email changes only ASCII letters: `lower` under the collation C does the same as
-- `to_ascii_lowercase` of Rust, whatever the locale of the database. Emails that are equal here are equal under
-- the index users_email too, so no existing row is refused. Gateways of the former version need users_email.
CREATE UNIQUE INDEX users_normal_email ON users (lower(email COLLATE "C"));

-- The hosts that the tools of the run reached, sorted. The worker bounds their number. A constant default
-- rewrites no row.
ALTER TABLE runs ADD COLUMN contacted_hosts text[] NOT NULL DEFAULT '{}';

CREATE FUNCTION merged_hosts_v1(p_known text[], p_more text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(DISTINCT host ORDER BY host), '{}')
    FROM (SELECT unnest(p_known || p_more) COLLATE "C" AS host) hosts
$$;
