-- The key before the present one, for as long as it is good beside it: it is inside apps that people have installed.
ALTER TABLE apps ADD COLUMN old_key_hash TEXT;
ALTER TABLE apps ADD COLUMN old_key_until BIGINT;
-- When it was last used, to the minute.
ALTER TABLE apps ADD COLUMN old_key_used_at BIGINT;
