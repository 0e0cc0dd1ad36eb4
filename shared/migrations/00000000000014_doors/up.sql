-- Checks the emails before the next migration makes them unique. The normal form of an email changes only
-- ASCII letters: `lower` under the collation C does the same as `to_ascii_lowercase` of Rust, whatever the
-- locale of the database. Gateways of the former version need the
-- index users_email, which compares by the locale. Under nearly all locales it is the stricter one. A Turkish
-- locale lowers I to another letter than i, so there two accounts may have one normal form.
DO $$
DECLARE
    v_ids text;
BEGIN
    SELECT string_agg(ids, '; ') INTO v_ids FROM (
        SELECT string_agg(id::text, ', ' ORDER BY created_at) AS ids
        FROM users GROUP BY lower(email COLLATE "C") HAVING count(*) > 1 LIMIT 20) alike;
    IF v_ids IS NOT NULL THEN
        RAISE EXCEPTION 'the emails of these accounts differ only in the case of letters; change all but one of '
            'each group with UPDATE users SET email = … WHERE id = …, then migrate again: %', v_ids;
    END IF;
END $$;

-- The hosts that the tools of the run reached or may have reached, sorted. The worker bounds their number. A
-- constant default rewrites no row.
ALTER TABLE runs ADD COLUMN contacted_hosts text[] NOT NULL DEFAULT '{}';

CREATE FUNCTION merged_hosts_v1(p_known text[], p_more text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(DISTINCT host ORDER BY host), '{}')
    FROM (SELECT unnest(p_known || p_more) COLLATE "C" AS host) hosts
$$;
