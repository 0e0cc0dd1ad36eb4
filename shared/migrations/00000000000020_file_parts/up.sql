-- The form part that a file came in, and its place among the files of the form. Null for files of former
-- versions.
ALTER TABLE run_files ADD COLUMN part text, ADD COLUMN position integer;
