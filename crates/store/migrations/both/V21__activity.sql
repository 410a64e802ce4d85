-- What happens in a conversation beside its messages: notes of the agents, and what they did. Numbered for each conversation as
-- messages are, in the transaction of what happened. No device is ever given any of it.
CREATE TABLE activities (
    conversation_id TEXT   NOT NULL,
    n               BIGINT NOT NULL,
    kind            TEXT   NOT NULL,
    at              BIGINT NOT NULL,
    by_id           TEXT,
    by_name         TEXT,
    to_id           TEXT,
    to_name         TEXT,
    body            TEXT,
    local_id        TEXT,
    PRIMARY KEY (conversation_id, n)
);
CREATE UNIQUE INDEX activities_by_local_id ON activities (conversation_id, local_id) WHERE local_id IS NOT NULL;
ALTER TABLE conversations ADD COLUMN last_activity BIGINT NOT NULL DEFAULT 0;
