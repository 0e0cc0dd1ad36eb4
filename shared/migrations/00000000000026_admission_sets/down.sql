DROP FUNCTION insert_runs_v1(jsonb[], text, interval, boolean);
DROP FUNCTION lock_accounts_v1(uuid[]);
DROP FUNCTION write_runs_v1(jsonb[], text, interval);
DELETE FROM idempotency_keys k WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = k.run_id);
CREATE INDEX idempotency_keys_by_run ON idempotency_keys (run_id);
ALTER TABLE idempotency_keys ADD CONSTRAINT idempotency_keys_run_id_fkey
    FOREIGN KEY (run_id) REFERENCES runs ON DELETE CASCADE;
DROP FUNCTION admit_keys_v1(bytea[], jsonb, integer);
DROP TRIGGER rate_windows_counted ON rate_windows;
DROP FUNCTION refuse_over_count();
DROP FUNCTION counted_after_v1(timestamptz[], bigint[], timestamptz);
ALTER TABLE rate_windows RESET (toast_tuple_target);
ALTER TABLE rate_windows DROP COLUMN ends, DROP COLUMN totals;
