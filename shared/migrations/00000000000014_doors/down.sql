DROP FUNCTION merged_hosts_v1(text[], text[]);
ALTER TABLE runs DROP COLUMN contacted_hosts;
