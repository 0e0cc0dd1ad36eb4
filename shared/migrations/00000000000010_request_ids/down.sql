DROP FUNCTION run_request_id_v1(uuid);
ALTER TABLE runs DROP COLUMN request_id;
