-- What the server last told of unread messages, with the newest message that it knew of then: it counts those, too, that were
-- passed over here. Nothing where it is not known, or not true any more.
ALTER TABLE conversations ADD COLUMN unread_told INTEGER;
ALTER TABLE conversations ADD COLUMN unread_told_at INTEGER;

-- What of the device the server was told, as JSON.
ALTER TABLE person ADD COLUMN context TEXT;
