-- A migration of its own: claims lock lanes before deliveries, so a transaction that changes both tables
-- could deadlock with them.
--
-- Where a claim starts in the indexes of deliveries. Beside a transaction that stays open, the entries of all
-- deliveries that were recorded since stay in the indexes, and without a lower bound each claim would pass
-- them. Null: from the start. A claim moves a bound only by more than a second, because each version of the
-- lane's row stays too.
ALTER TABLE webhook_lanes
    -- At most the first end of a lease that is not over.
    ADD COLUMN leases_from timestamptz,
    -- At least a second before the time of the oldest open delivery. A delivery whose transaction commits
    -- more than a second after those of younger ones may be older. The sweeper finds it and sets the bound
    -- to null.
    ADD COLUMN due_from timestamptz;
ALTER TABLE webhook_lanes SET (fillfactor = 50);
