-- What one person on one device has. Times are milliseconds since the epoch.

-- The device's name, the person, and what of them the server was told.
CREATE TABLE person (
    only            INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    device_id       TEXT    NOT NULL,
    user            TEXT,
    is_user_told    INTEGER NOT NULL
);

-- tail_seq: up to there every message is stored, or in a gap. The marks are cumulative, as the server's are: agent_* of
-- the agents, delivered_* and read_* of the person, each with how much of it the server was told.
CREATE TABLE conversations (
    id                  TEXT    NOT NULL PRIMARY KEY,
    status              TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    tail_seq            INTEGER NOT NULL,
    agent_delivered_seq INTEGER NOT NULL,
    agent_read_seq      INTEGER NOT NULL,
    delivered_seq       INTEGER NOT NULL,
    delivered_told_seq  INTEGER NOT NULL,
    read_seq            INTEGER NOT NULL,
    read_told_seq       INTEGER NOT NULL
);

-- state: 0 stored by the server, 1 queued, 2 sending, 3 wedged, 4 cancelled. position orders those that are not stored.
-- crashes: how often in a row it was on its way when the process ended, the present time included. The conversation ''
-- is the one that the server has yet to open.
CREATE TABLE messages (
    local_id        TEXT    NOT NULL,
    conversation_id TEXT    NOT NULL,
    state           INTEGER NOT NULL,
    id              TEXT,
    seq             INTEGER,
    body            TEXT    NOT NULL,
    sender          TEXT    NOT NULL,
    sender_name     TEXT,
    created_at      INTEGER NOT NULL,
    position        INTEGER,
    crashes         INTEGER NOT NULL,
    wedged_code     TEXT,
    wedged_message  TEXT,
    PRIMARY KEY (local_id, conversation_id)
);
CREATE UNIQUE INDEX messages_by_seq ON messages (conversation_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX messages_waiting ON messages (conversation_id, position) WHERE state IN (1, 2, 3);

-- Messages from first_seq to last_seq that were passed over, to be fetched when somebody scrolls there.
CREATE TABLE gaps (
    conversation_id TEXT    NOT NULL,
    first_seq       INTEGER NOT NULL,
    last_seq        INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, first_seq)
);
