-- Whom a conversation is with is shown by an inbox, and so is since when somebody waits, which changes only with a message.

CREATE OR REPLACE FUNCTION conversations_mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.change := pg_current_xact_id()::text::bigint;
    IF TG_OP = 'INSERT' OR (NEW.last_seq, NEW.status, NEW.unread_count, NEW.updated_at, NEW.user_id, NEW.user_name, NEW.assignee_id)
        IS DISTINCT FROM (OLD.last_seq, OLD.status, OLD.unread_count, OLD.updated_at, OLD.user_id, OLD.user_name, OLD.assignee_id) THEN
        NEW.inbox_change := NEW.change;
    END IF;
    RETURN NEW;
END
$$;
