-- Which transaction changed what an inbox shows: a receipt that changes nothing there is no news to it.

ALTER TABLE conversations ADD COLUMN inbox_change BIGINT NOT NULL DEFAULT 0;

CREATE OR REPLACE FUNCTION conversations_mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.change := pg_current_xact_id()::text::bigint;
    IF TG_OP = 'INSERT' OR (NEW.last_seq, NEW.status, NEW.unread_count, NEW.updated_at, NEW.user_id, NEW.user_name)
        IS DISTINCT FROM (OLD.last_seq, OLD.status, OLD.unread_count, OLD.updated_at, OLD.user_id, OLD.user_name) THEN
        NEW.inbox_change := NEW.change;
    END IF;
    RETURN NEW;
END
$$;
