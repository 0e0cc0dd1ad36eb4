-- The end of the queue timeout of each pending run, which the gateway's sweep reads. The index needs
-- timestamps without a zone: with a zone, adding an interval depends on the session's time zone.
CREATE INDEX runs_overdue ON runs (((created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s'))
    WHERE status = 'pending';
