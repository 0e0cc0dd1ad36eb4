-- The requests in flight of a lane, by the end of their leases. Beside a transaction that stays open, entries
-- of rows that were changed stay in the index; a claim passes only those whose lease would not be over yet.
-- If it fails, drop the invalid index and migrate again (deploy/runbook.md).
CREATE INDEX CONCURRENTLY webhook_deliveries_leased
    ON webhook_deliveries (lane_id, lease_expires_at) WHERE lease_owner IS NOT NULL;
