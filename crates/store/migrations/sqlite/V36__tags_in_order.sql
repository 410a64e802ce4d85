-- A list by tag is in the order of the conversations' activity.
CREATE TRIGGER conversation_tags_follow AFTER UPDATE OF status, updated_at ON conversations WHEN NEW.tags <> ''
BEGIN
    UPDATE conversation_tags SET status = NEW.status, updated_at = NEW.updated_at WHERE conversation_id = NEW.id;
END;
