-- What a key may do. Keys that exist, and keys that an older gateway creates, may create and read runs.
ALTER TABLE api_keys ADD COLUMN scopes text[] NOT NULL DEFAULT '{runs}';
