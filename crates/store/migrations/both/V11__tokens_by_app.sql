-- An app's tokens, without a walk through all tokens.
CREATE INDEX admin_tokens_by_app ON admin_tokens (app_id, id);
