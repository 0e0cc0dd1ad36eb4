ALTER TABLE webhook_lanes RESET (fillfactor);
ALTER TABLE webhook_lanes DROP COLUMN leases_from, DROP COLUMN due_from;
