-- For Postgres alone; even numbers are. What was committed lately can be found whatever became of the bus: each row
-- bears the transaction that wrote it last, and below the oldest running transaction no more can appear.

ALTER TABLE conversations ADD COLUMN change BIGINT NOT NULL DEFAULT 0;
CREATE INDEX conversations_by_change ON conversations (change, id);

CREATE FUNCTION conversations_mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.change := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END
$$;
CREATE TRIGGER conversations_change BEFORE INSERT OR UPDATE ON conversations
    FOR EACH ROW EXECUTE FUNCTION conversations_mark_change();
