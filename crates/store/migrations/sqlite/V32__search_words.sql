-- For SQLite alone: even numbers are one database's own, and may stand in both folders.

-- What can be found, by its place in the order of the answers: see operations/search.rs.
CREATE TABLE search_documents (
    n               INTEGER NOT NULL PRIMARY KEY,
    app_id          TEXT    NOT NULL,
    conversation_id TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    seq             BIGINT  NOT NULL
);

-- The words are cut before they come here; between them are spaces. No text is kept, and no word's place.
CREATE VIRTUAL TABLE search_words USING fts5 (
    words, content = '', contentless_delete = 1, detail = none, prefix = '1 2 3', tokenize = 'ascii'
);

-- What is there already is found by the walk through what was there before.
UPDATE search_state SET seen = (SELECT coalesce(max(rowid), 0) FROM messages) || ' ' || (SELECT coalesce(max(rowid), 0) FROM conversations);
