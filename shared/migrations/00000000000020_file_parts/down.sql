ALTER TABLE run_files DROP COLUMN part, DROP COLUMN position;
