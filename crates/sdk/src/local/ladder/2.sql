-- What the server last told of unread messages, with the newest message that it knew of then: it counts those, too, that were
-- passed over here. Nothing where it is not known, or not true any more.
ALTER TABLE conversations ADD COLUMN unread_told INTEGER;
ALTER TABLE conversations ADD COLUMN unread_told_at INTEGER;

-- What of the device the server was told, as JSON.
ALTER TABLE person ADD COLUMN context TEXT;

-- With all that is asked of what waits but the texts: a row with a long one is on pages of its own, and reading those of the
-- whole queue for each change of it cost more than the rest.
DROP INDEX messages_waiting;
CREATE INDEX messages_waiting ON messages (conversation_id, position, state, local_id) WHERE state IN (1, 2, 3);

-- Who counts what others wrote must not read past all that the person did.
CREATE INDEX messages_of_agents ON messages (conversation_id, seq) WHERE sender <> 'user';
