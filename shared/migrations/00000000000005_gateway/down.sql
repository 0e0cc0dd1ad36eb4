DROP TABLE open_waits;
DROP TABLE artifacts;
DROP TABLE run_metadata;
DROP INDEX runs_from_console;
DROP INDEX runs_by_app;
DROP INDEX runs_by_status;
DROP INDEX runs_by_user;
CREATE INDEX runs_by_user ON runs (user_id, id);
ALTER TABLE runs DROP COLUMN queue_timeout_seconds;
