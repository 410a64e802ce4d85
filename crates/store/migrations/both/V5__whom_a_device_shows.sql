-- Whether the device shows the conversation: whether it belongs to the person who is at the device, or to nobody while
-- there is none. It is kept and not computed, so that who writes to the conversation sees it under the row's own lock.
ALTER TABLE conversations ADD COLUMN is_shown BIGINT NOT NULL DEFAULT 1;

-- A conversation with a user_id is that person's, whoever came to the device after them. What nobody has written is the
-- first person's who was named at the device, if it can be told who that was: there has been one only.
UPDATE conversations SET
    user_name = (SELECT d.user_name FROM devices d
        WHERE d.app_id = conversations.app_id AND d.device_id = conversations.device_id),
    user_id = (SELECT d.user_id FROM devices d
        WHERE d.app_id = conversations.app_id AND d.device_id = conversations.device_id)
WHERE user_id IS NULL AND NOT EXISTS (
    SELECT 1 FROM conversations c JOIN devices d ON d.app_id = c.app_id AND d.device_id = c.device_id
    WHERE c.app_id = conversations.app_id AND c.device_id = conversations.device_id AND c.user_id <> d.user_id);
UPDATE conversations SET is_shown = 0 WHERE user_id IS DISTINCT FROM
    (SELECT d.user_id FROM devices d WHERE d.app_id = conversations.app_id AND d.device_id = conversations.device_id);
