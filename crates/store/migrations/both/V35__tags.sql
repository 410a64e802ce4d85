-- What the team says of a conversation: its tags, in their order, one a line; and that somebody has to look at it again.
ALTER TABLE conversations ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE conversations ADD COLUMN is_marked_unread BIGINT NOT NULL DEFAULT 0;

-- The tags that an app's agents are offered.
CREATE TABLE tags (
    app_id     TEXT   NOT NULL REFERENCES apps (id),
    tag        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, tag)
);

-- Each tag of each conversation, with what a list by tag is sorted by, which a trigger keeps as it is in the conversation.
CREATE TABLE conversation_tags (
    conversation_id TEXT   NOT NULL,
    tag             TEXT   NOT NULL,
    app_id          TEXT   NOT NULL,
    status          TEXT   NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (conversation_id, tag)
);
CREATE INDEX conversation_tags_in_order ON conversation_tags (app_id, tag, status, updated_at, conversation_id);

-- What the team knows of a person: by their id where they are proven, and else by the device and what it says of who is there.
CREATE TABLE people_notes (
    app_id     TEXT   NOT NULL REFERENCES apps (id),
    whom       TEXT   NOT NULL,
    about      TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, whom)
);
