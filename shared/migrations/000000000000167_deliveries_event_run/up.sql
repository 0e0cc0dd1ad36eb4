-- After the index of event_run_id: without it, each deleted run would read all deliveries.
ALTER TABLE webhook_deliveries ADD CONSTRAINT webhook_deliveries_event_run_id_fkey
    FOREIGN KEY (event_run_id) REFERENCES runs ON DELETE CASCADE NOT VALID;
