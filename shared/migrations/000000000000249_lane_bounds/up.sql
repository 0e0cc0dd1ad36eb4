-- A migration of its own: claims lock lanes before deliveries, so a transaction that changes both tables
-- could deadlock with them.
--
-- Where a claim starts in the indexes of deliveries. Beside a transaction that stays open, the entries of
-- all deliveries that were recorded since stay in the indexes, and without a lower bound each claim would
-- pass them. Null: from the start.
ALTER TABLE webhook_lanes
    -- At most the first end of a lease that is not over.
    ADD COLUMN leases_from timestamptz,
    -- Shortly before the time of the oldest open delivery. A delivery whose transaction committed after those
    -- of younger ones may be older. A claim that finds nothing else looks for it up to a second before the
    -- bound, and the sweeper without a bound; it sets the bound to null then.
    ADD COLUMN due_from timestamptz;
ALTER TABLE webhook_lanes SET (fillfactor = 50);
