-- When a pending run is given up, earliest first: what the gateway's look for overdue runs reads. Timestamps without a
-- zone, since adding an interval to one with a zone depends on the session's.
CREATE INDEX runs_overdue ON runs (((created_at AT TIME ZONE 'UTC') + queue_timeout_seconds * interval '1 s'))
    WHERE status = 'pending';
