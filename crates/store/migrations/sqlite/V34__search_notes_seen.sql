-- For SQLite alone: what is new among the activity is found by its rows, as among messages and conversations.
UPDATE search_state SET seen = seen || ' ' || (SELECT coalesce(max(rowid), 0) FROM activities);
