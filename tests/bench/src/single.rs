//! The statements of one create, each for itself: those of gateways before creates went out in sets. They are
//! the raw baseline.

/// Finds the key with the hash `$1` and takes a place. `$2` maps plans to requests per minute.
pub(crate) const ADMIT: &str = "
WITH key AS (
    SELECT k.id, k.user_id, k.app_id, k.scopes, k.last_used_at, u.plan, ($2 ->> u.plan)::integer AS places
    FROM api_keys k JOIN users u ON u.id = k.user_id
    WHERE k.sha256 = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > capi_now())
), taken AS (
    INSERT INTO rate_windows AS w (user_id, places, stamps, admitted)
    SELECT user_id, places, ARRAY[capi_now()], true FROM key WHERE places IS NOT NULL
    ON CONFLICT (user_id) DO UPDATE SET places = EXCLUDED.places, (stamps, admitted) = (
        SELECT CASE WHEN cardinality(kept) < EXCLUDED.places THEN kept || at ELSE kept END,
               cardinality(kept) < EXCLUDED.places
        FROM (SELECT capi_now() AS at OFFSET 0) clock,
             LATERAL (
                 SELECT ARRAY(
                     SELECT s FROM unnest(w.stamps) s WHERE s > clock.at - interval '60 s' ORDER BY s) AS kept
                 OFFSET 0) pruned)
    RETURNING places, stamps, admitted
), touched AS (
    UPDATE api_keys k SET last_used_at = capi_now()
    FROM key, taken
    WHERE k.id = key.id AND taken.admitted
      AND (k.last_used_at IS NULL OR k.last_used_at < capi_now() - interval '1 minute')
)
SELECT key.id, key.user_id, key.app_id, key.scopes, key.plan, taken.places, taken.admitted,
    taken.places - cardinality(taken.stamps) AS remaining,
    extract(epoch FROM
        taken.stamps[greatest(1, cardinality(taken.stamps) - taken.places + 1)] + interval '60 s' - capi_now()
    )::double precision AS free_in
FROM key LEFT JOIN taken ON true";

/// Writes a run without quotas, idempotency key and files. `raw` lists the binds.
pub(crate) const INSERT: &str = "
WITH run AS (
    INSERT INTO runs (id, user_id, app_id, app_version_id, api_key_id, source, status, title, inputs,
                      chat_model_id, webhook_url, webhook_host, metadata, queue_timeout_seconds, request_id,
                      webhook_events, created_at, last_seq)
    SELECT $1, a.user_id, a.id, v.id, $5, CASE WHEN $5 IS NULL THEN 'console' ELSE 'api' END, 'pending',
           $6, $7, $8, $9, $10, $11, $14, $15, $16, capi_now(), 1
    FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
    WHERE a.id = $3 AND a.user_id = $2 AND v.id = $4 AND a.archived_at IS NULL
    RETURNING id, user_id, metadata, created_at
), pairs AS (
    INSERT INTO run_metadata (user_id, key, value, created_at, run_id)
    SELECT run.user_id, p.key, p.value, run.created_at, run.id FROM run, jsonb_each_text(run.metadata) p
)
INSERT INTO run_events (run_id, seq, type, at, attempt, data)
SELECT id, 1, $12, created_at, 0, $13 FROM run";
