-- The index webhook_deliveries_leased serves its statements, also those of the former version.
DROP INDEX CONCURRENTLY webhook_deliveries_in_flight;
