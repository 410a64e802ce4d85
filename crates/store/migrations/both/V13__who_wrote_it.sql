-- What can't be had later: by which token a message was sent. What an inbox sorts by when people wait: since when nobody has
-- answered, and when somebody first did. All may be missing, so that a server of the version before goes on beside this one
-- while both run; what it leaves out is made up for when this becomes visible.
ALTER TABLE messages ADD COLUMN sender_id TEXT;
ALTER TABLE conversations ADD COLUMN waiting_since BIGINT;
ALTER TABLE conversations ADD COLUMN first_reply_at BIGINT;

UPDATE conversations SET waiting_since = (
    SELECT MIN(m.created_at) FROM messages m WHERE m.conversation_id = conversations.id AND m.sender = 'user' AND m.seq > COALESCE(
        (SELECT MAX(a.seq) FROM messages a WHERE a.conversation_id = conversations.id AND a.sender = 'agent'), 0));
UPDATE conversations SET first_reply_at = (
    SELECT MIN(m.created_at) FROM messages m WHERE m.conversation_id = conversations.id AND m.sender = 'agent' AND m.seq > (
        SELECT MIN(u.seq) FROM messages u WHERE u.conversation_id = conversations.id AND u.sender = 'user'));
