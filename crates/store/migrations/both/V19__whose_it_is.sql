-- Which agent a conversation is with, and the orders of an inbox's views: what is with one agent or with nobody by its activity,
-- and what waits by how long it has.
ALTER TABLE conversations ADD COLUMN assignee_id TEXT;
CREATE INDEX conversations_by_assignee ON conversations (app_id, assignee_id, status, updated_at, id);
CREATE INDEX conversations_by_wait ON conversations (app_id, status, waiting_since, id) WHERE waiting_since IS NOT NULL;
