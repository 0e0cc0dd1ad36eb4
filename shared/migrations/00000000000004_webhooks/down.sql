DROP FUNCTION claim_delivery_v1(uuid, text, interval, integer);
DROP TABLE webhook_attempts;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_lanes;
DROP TABLE webhook_secrets;
