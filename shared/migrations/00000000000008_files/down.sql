DROP TABLE run_files;
