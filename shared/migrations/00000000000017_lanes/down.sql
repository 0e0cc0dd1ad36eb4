DROP FUNCTION expire_deliveries_v1(interval, integer);
DROP FUNCTION webhook_lanes_due_v1(uuid, integer, bigint, integer);
DROP FUNCTION claim_delivery_v2(uuid, text, interval, integer, uuid[], uuid[], boolean);
DROP FUNCTION webhook_sent_again_v1(timestamptz, integer, integer);
DROP FUNCTION webhook_next_attempt_v1(uuid, timestamptz, boolean);
DROP INDEX webhook_lanes_closed;
ALTER TABLE webhook_lanes DROP COLUMN failures, DROP COLUMN closed_until, DROP COLUMN last_error;
