-- A list by tag is in the order of the conversations' activity.
CREATE FUNCTION conversation_tags_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE conversation_tags SET status = NEW.status, updated_at = NEW.updated_at WHERE conversation_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER conversation_tags_follow AFTER UPDATE OF status, updated_at ON conversations
    FOR EACH ROW WHEN (NEW.tags <> '') EXECUTE FUNCTION conversation_tags_follow();

-- What the team says of a conversation is shown by an inbox.
CREATE OR REPLACE FUNCTION conversations_mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.change := pg_current_xact_id()::text::bigint;
    IF TG_OP = 'INSERT' OR (NEW.last_seq, NEW.status, NEW.unread_count, NEW.updated_at, NEW.user_id, NEW.user_name, NEW.assignee_id,
        NEW.tags, NEW.is_marked_unread)
        IS DISTINCT FROM (OLD.last_seq, OLD.status, OLD.unread_count, OLD.updated_at, OLD.user_id, OLD.user_name, OLD.assignee_id,
        OLD.tags, OLD.is_marked_unread) THEN
        NEW.inbox_change := NEW.change;
    END IF;
    RETURN NEW;
END
$$;
