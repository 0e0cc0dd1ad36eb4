-- Parts of the tokens that some model servers tell: input from the prompt cache, output for reasoning.
-- Null if no server told.
ALTER TABLE runs ADD COLUMN cached_input_tokens bigint, ADD COLUMN reasoning_tokens bigint;
