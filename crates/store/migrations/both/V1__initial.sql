-- Accepted by SQLite and by Postgres. Times are milliseconds since the epoch, JSON is TEXT.

CREATE TABLE apps (
    id           TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL,
    api_key_hash TEXT   NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE TABLE admin_tokens (
    id           TEXT   NOT NULL PRIMARY KEY,
    app_id       TEXT   NOT NULL REFERENCES apps (id),
    name         TEXT   NOT NULL,
    permissions  TEXT   NOT NULL,
    token_hash   TEXT   NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

CREATE TABLE devices (
    app_id          TEXT   NOT NULL REFERENCES apps (id),
    device_id       TEXT   NOT NULL,
    user_id         TEXT,
    user_name       TEXT,
    user_email      TEXT,
    user_attributes TEXT,
    device_context  TEXT,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (app_id, device_id)
);

-- The four *_seq marks beside last_seq are the cumulative receipts: a message's status is computed from them, so
-- a receipt changes one row whatever the number of messages. unread_count is the user's messages after
-- agent_read_seq, kept because an inbox shows it for every row.
CREATE TABLE conversations (
    id                   TEXT   NOT NULL PRIMARY KEY,
    app_id               TEXT   NOT NULL REFERENCES apps (id),
    device_id            TEXT   NOT NULL,
    user_id              TEXT,
    user_name            TEXT,
    status               TEXT   NOT NULL,
    last_seq             BIGINT NOT NULL,
    unread_count         BIGINT NOT NULL,
    device_delivered_seq BIGINT NOT NULL,
    device_read_seq      BIGINT NOT NULL,
    agent_delivered_seq  BIGINT NOT NULL,
    agent_read_seq       BIGINT NOT NULL,
    created_at           BIGINT NOT NULL,
    updated_at           BIGINT NOT NULL
);
CREATE INDEX conversations_by_device ON conversations (app_id, device_id, id);
CREATE INDEX conversations_by_activity ON conversations (app_id, updated_at, id);

-- No foreign key: a message is only stored in the transaction that has taken a seq from its conversation's row.
-- A message's id holds its conversation and seq, so it is found by the primary key and has no index of its own.
CREATE TABLE messages (
    conversation_id TEXT   NOT NULL,
    seq             BIGINT NOT NULL,
    id              TEXT   NOT NULL,
    local_id        TEXT   NOT NULL,
    body            TEXT   NOT NULL,
    sender          TEXT   NOT NULL,
    sender_name     TEXT,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (conversation_id, seq),
    UNIQUE (conversation_id, local_id)
);

CREATE TABLE audit_log (
    id      BIGINT NOT NULL PRIMARY KEY,
    app_id  TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    target  TEXT   NOT NULL,
    details TEXT
);
CREATE INDEX audit_log_by_app ON audit_log (app_id, id);

-- One row that the readiness check writes, to know that writing works.
CREATE TABLE heartbeat (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);
INSERT INTO heartbeat (id, at) VALUES (1, 0);
