-- What can be found, by its place in the order of the answers, with its words, which are cut before they come here: see
-- operations/search.rs. What waits to be sorted into the index is read by each search, so it is kept short.

CREATE TABLE search_documents (
    n               BIGINT   NOT NULL PRIMARY KEY,
    app_id          TEXT     NOT NULL,
    conversation_id TEXT     NOT NULL,
    kind            TEXT     NOT NULL,
    seq             BIGINT   NOT NULL,
    words           TSVECTOR NOT NULL
);
CREATE INDEX search_documents_by_app ON search_documents (app_id, n);
CREATE INDEX search_documents_by_word ON search_documents USING gin (words) WITH (gin_pending_list_limit = 1024);
