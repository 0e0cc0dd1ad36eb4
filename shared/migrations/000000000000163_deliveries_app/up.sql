-- Sets app_id of former deliveries. Each batch is a transaction of its own, and it waits for no lock: locked
-- rows are tried again. If it fails, migrate again: what it has set stays.
DO $$
DECLARE
    v_after uuid := '00000000-0000-0000-0000-000000000000';
    v_ids   uuid[];
BEGIN
    LOOP
        v_ids := ARRAY(SELECT d.id FROM webhook_deliveries d WHERE d.id > v_after ORDER BY d.id LIMIT 2000);
        EXIT WHEN cardinality(v_ids) = 0;
        LOOP
            UPDATE webhook_deliveries d SET app_id = r.app_id
            FROM runs r
            WHERE r.id = d.run_id AND d.id = ANY (ARRAY(
                SELECT f.id FROM webhook_deliveries f WHERE f.id = ANY (v_ids) AND f.app_id IS NULL
                FOR NO KEY UPDATE SKIP LOCKED));
            COMMIT;
            EXIT WHEN NOT EXISTS (
                SELECT 1 FROM webhook_deliveries d
                WHERE d.id = ANY (v_ids) AND d.app_id IS NULL AND d.run_id IS NOT NULL);
            PERFORM pg_sleep(0.05);
        END LOOP;
        v_after := v_ids[cardinality(v_ids)];
    END LOOP;
    -- Without statistics of the new columns the planner may read the whole table.
    ANALYZE webhook_deliveries;
END $$;
