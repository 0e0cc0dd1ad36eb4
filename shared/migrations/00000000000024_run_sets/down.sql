DROP FUNCTION expire_runs_v1(boolean, uuid[], text[], text, jsonb, text, jsonb);
DROP FUNCTION cancel_run_v1(uuid, uuid, uuid, text[], text, jsonb);
DROP FUNCTION finish_runs_v1;
DROP FUNCTION free_places_v1(tid[], bigint[]);
DROP FUNCTION deliver_ends_v1(uuid[], uuid[], text[], text[], text[], timestamptz);
DROP FUNCTION partial_result_v1(uuid);
DROP FUNCTION append_runs_v1;
DROP FUNCTION lock_runs_v1(uuid[], boolean, uuid[]);
