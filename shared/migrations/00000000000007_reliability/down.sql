DROP TABLE workers;
DROP TABLE idempotency_keys;
ALTER TABLE runs DROP COLUMN released_at;
