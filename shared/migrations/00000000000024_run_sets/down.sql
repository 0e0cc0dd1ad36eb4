DROP FUNCTION expire_runs_v1(boolean, uuid[], text[], text, jsonb, text, jsonb);
DROP FUNCTION cancel_run_v1(uuid, uuid, uuid, text[], text, jsonb);
DROP FUNCTION finish_runs_v1(boolean, uuid[], integer[], uuid[], bigint[], integer[], bigint[],
    bigint[], integer[], integer[], bigint[], bigint[], integer[], integer[], text[], jsonb[], integer[], text[],
    integer[], bigint[], text[], jsonb[], text[], jsonb[], boolean[]);
DROP FUNCTION free_places_v1(uuid, bigint);
DROP FUNCTION deliver_ends_v1(uuid[]);
DROP FUNCTION partial_result_v1(uuid);
DROP FUNCTION append_runs_v1(boolean, interval, uuid[], integer[], uuid[], bigint[], integer[], bigint[], bigint[],
    integer[], integer[], bigint[], bigint[], integer[], integer[], text[], jsonb[], integer[], text[], integer[],
    bigint[], bigint[], bigint[]);
DROP FUNCTION worked_seconds_v1(double precision, timestamptz, timestamptz);
