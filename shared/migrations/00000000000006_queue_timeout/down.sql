DROP INDEX runs_overdue;
