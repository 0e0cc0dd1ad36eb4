DROP INDEX CONCURRENTLY users_normal_email;
