-- The id of the request that created the run: the worker's log lines carry it.
ALTER TABLE runs ADD COLUMN request_id text;
-- NOT VALID avoids a scan of the table under an exclusive lock. It still checks every new row, and old rows
-- hold NULL.
ALTER TABLE runs ADD CONSTRAINT runs_request_id_bounded CHECK (length(request_id) BETWEEN 1 AND 128) NOT VALID;

-- The worker calls this on the result of claim_run_v1. The function is volatile, so it reads with a new
-- snapshot. A join with runs would read with the snapshot from before the claim waited for its lock, and
-- would miss younger runs.
CREATE FUNCTION run_request_id_v1(p_run uuid) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT request_id FROM runs WHERE id = p_run
$$;
