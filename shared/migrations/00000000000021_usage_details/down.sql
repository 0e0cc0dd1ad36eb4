ALTER TABLE runs DROP COLUMN cached_input_tokens, DROP COLUMN reasoning_tokens;
