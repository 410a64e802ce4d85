-- Agents: people who answer, each in one app. The hash is of their password, and missing until they have set one.
CREATE TABLE agents (
    id            TEXT   NOT NULL PRIMARY KEY,
    app_id        TEXT   NOT NULL REFERENCES apps (id),
    name          TEXT   NOT NULL,
    email         TEXT   NOT NULL,
    role          TEXT   NOT NULL,
    is_disabled   BIGINT NOT NULL DEFAULT 0,
    is_away       BIGINT NOT NULL DEFAULT 0,
    password_hash TEXT,
    created_at    BIGINT NOT NULL,
    last_seen_at  BIGINT,
    -- Rises whenever what they may do has changed: their open connections are looked at by it.
    version       BIGINT NOT NULL DEFAULT 0,
    UNIQUE (app_id, email)
);
CREATE INDEX agents_by_email ON agents (email, app_id);

-- What opens an account once: the first run, an invitation, a forgotten password, the demo.
CREATE TABLE codes (
    code_hash  TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    agent_id   TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX codes_by_agent ON codes (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX codes_by_end ON codes (expires_at);

-- A token is a program's, perhaps with an agent who answers for it, or an agent's own session: that one lasts as long as it
-- is used.
ALTER TABLE admin_tokens ADD COLUMN agent_id TEXT;
ALTER TABLE admin_tokens ADD COLUMN idle_ms BIGINT;
ALTER TABLE admin_tokens ADD COLUMN user_agent TEXT;
CREATE INDEX admin_tokens_by_agent ON admin_tokens (agent_id, id) WHERE agent_id IS NOT NULL;
