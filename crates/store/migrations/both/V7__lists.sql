-- An inbox is listed by status, or all of it: a page of each status then, merged. A device's few conversations are found
-- by the device and sorted. So there is one index that moves with every message, as before.
CREATE INDEX conversations_by_status ON conversations (app_id, status, updated_at, id);
DROP INDEX conversations_by_activity;
