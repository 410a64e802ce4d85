-- The search finds notes, too: up to which number each conversation's activity is indexed. What there is already is found by
-- another walk through what was there before, which finds nothing else to do.
ALTER TABLE search_progress ADD COLUMN activity BIGINT NOT NULL DEFAULT 0;
UPDATE search_state SET old_before = NULL, is_complete = 0;
