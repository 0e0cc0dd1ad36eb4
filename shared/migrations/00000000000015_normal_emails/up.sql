-- One statement without a transaction: with a million accounts, the build takes seconds, and writes to `users`
-- must not wait so long. If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE UNIQUE INDEX CONCURRENTLY users_normal_email ON users (lower(email COLLATE "C"));
