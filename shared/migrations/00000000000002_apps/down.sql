ALTER TABLE api_keys DROP CONSTRAINT api_keys_app_id_fkey;
DROP TABLE app_versions;
DROP TABLE apps;
