DROP FUNCTION expire_deliveries_v1(interval, integer);
DROP FUNCTION webhook_lanes_due_v1(bigint, integer);
DROP FUNCTION claim_delivery_v3(uuid, text, interval, integer, uuid[], uuid[], boolean);
DROP FUNCTION webhook_next_attempt_v1(uuid, timestamptz);
DROP INDEX webhook_lanes_closed;
ALTER TABLE webhook_lanes DROP COLUMN failures, DROP COLUMN closed_until, DROP COLUMN last_error;
