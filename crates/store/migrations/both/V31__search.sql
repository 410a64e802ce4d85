-- What the index of the search is made from, and how far it is. The words are where each database keeps them best.

-- Up to which message each conversation is indexed, and the text about its person that is; without a row, nothing is.
CREATE TABLE search_progress (
    conversation_id TEXT   NOT NULL PRIMARY KEY,
    app_id          TEXT   NOT NULL,
    seq             BIGINT NOT NULL,
    person          TEXT   NOT NULL
);
CREATE INDEX search_progress_by_app ON search_progress (app_id, conversation_id);

-- What is to be done that the messages don't say: another name or address of a person, or of a device where nobody was proven,
-- or the index of an app to be made anew. The version rises when it is asked for again.
CREATE TABLE search_requests (
    kind    TEXT   NOT NULL,
    app_id  TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (kind, app_id, id)
);

-- One row. Which node does it, and until when it is taken to be alive; where it goes on with what is new; and behind which
-- conversation it goes on with what was there before, newest first: NULL is before all of them.
CREATE TABLE search_state (
    id             BIGINT NOT NULL PRIMARY KEY,
    holder         TEXT,
    held_until     BIGINT NOT NULL,
    seen           TEXT,
    old_before     TEXT,
    is_complete    BIGINT NOT NULL
);
INSERT INTO search_state (id, held_until, is_complete) VALUES (1, 0, 0);
