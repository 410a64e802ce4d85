-- Whether who is identified is so by tokens of the app's own backend, and not by the app's word.
ALTER TABLE person ADD COLUMN is_by_token INTEGER NOT NULL DEFAULT 0;
