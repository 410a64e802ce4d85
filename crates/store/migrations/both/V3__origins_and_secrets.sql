-- The origins of the pages that may use an app's key, with spaces between them; none is any.
ALTER TABLE apps ADD COLUMN allowed_origins TEXT NOT NULL DEFAULT '';

-- What an installation makes up once and never tells: keys of its own, by what they are for.
CREATE TABLE secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
