DROP TRIGGER runs_usage_deleted ON runs;
DROP FUNCTION subtract_usage();
DROP FUNCTION add_usage_v1(uuid, integer, integer);
DROP FUNCTION lock_usage_cursor_v1(uuid);
DROP TABLE usage_days;
DROP TABLE usage_cursors;
