import pg from 'pg';
import { ApiError } from './errors.js';
import { newId, newSecret, sha256 } from './ids.js';

// Sequence numbers fit in a double for the next nine quadrillion messages.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS apps (
    id text PRIMARY KEY,
    name text NOT NULL,
    key_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE IF NOT EXISTS admin_tokens (
    id text PRIMARY KEY,
    app_id text NOT NULL REFERENCES apps (id),
    name text NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    permissions text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
  );
  CREATE TABLE IF NOT EXISTS conversations (
    id text PRIMARY KEY,
    app_id text NOT NULL REFERENCES apps (id),
    device_id text NOT NULL,
    status text NOT NULL DEFAULT 'open',
    last_seq bigint NOT NULL DEFAULT 0,
    last_message_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE INDEX IF NOT EXISTS conversations_by_device ON conversations (app_id, device_id, created_at DESC);
  CREATE TABLE IF NOT EXISTS messages (
    conversation_id text NOT NULL REFERENCES conversations (id),
    seq bigint NOT NULL,
    id text NOT NULL UNIQUE,
    local_id text NOT NULL,
    body text NOT NULL,
    sender text NOT NULL,
    sender_name text,
    status text NOT NULL DEFAULT 'sent',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, seq),
    UNIQUE (conversation_id, local_id)
  );
`;

// One statement is one transaction and one round trip. The row lock of the UPDATE gives seq in commit order; a
// race of two equal local_ids ends in the unique index, and the loser reads what the winner stored.
const SEND = `
  WITH existing AS (
    SELECT * FROM messages WHERE conversation_id = $1 AND local_id = $5
  ), bumped AS (
    UPDATE conversations SET last_seq = last_seq + 1, last_message_id = $4, updated_at = now()
    WHERE id = $1 AND app_id = $2 AND ($3::text IS NULL OR device_id = $3) AND NOT EXISTS (SELECT 1 FROM existing)
    RETURNING *
  ), inserted AS (
    INSERT INTO messages (conversation_id, seq, id, local_id, body, sender, sender_name, created_at)
    SELECT id, last_seq, $4, $5, $6, $7, $8, updated_at FROM bumped
  )
  SELECT device_id, conversations_status, last_seq, conversation_created_at, created_at,
         existing_id, existing_seq, existing_body, existing_sender, existing_sender_name, existing_status
  FROM (
    SELECT device_id, status AS conversations_status, last_seq, created_at AS conversation_created_at,
           updated_at AS created_at, NULL AS existing_id, NULL::bigint AS existing_seq, NULL AS existing_body,
           NULL AS existing_sender, NULL AS existing_sender_name, NULL AS existing_status
    FROM bumped
    UNION ALL
    SELECT c.device_id, c.status, c.last_seq, c.created_at, e.created_at,
           e.id, e.seq, e.body, e.sender, e.sender_name, e.status
    FROM existing e JOIN conversations c ON c.id = e.conversation_id
    WHERE c.app_id = $2 AND ($3::text IS NULL OR c.device_id = $3)
  ) AS outcome
`;

const UNIQUE_VIOLATION = '23505';

export function toMessage(row) {
  const message = {
    id: row.id,
    local_id: row.local_id,
    conversation_id: row.conversation_id,
    seq: row.seq,
    body: row.body,
    sender: row.sender,
    created_at: row.created_at.toISOString(),
    status: row.status,
  };
  if (row.sender_name) message.sender_name = row.sender_name;
  return message;
}

export function toConversation(row) {
  return {
    id: row.id,
    app_id: row.app_id,
    device_id: row.device_id,
    status: row.status,
    last_seq: row.last_seq,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

/** Everything that is stored. */
export class Database {
  constructor(url, poolSize) {
    this.pool = new pg.Pool({ connectionString: url, max: poolSize, keepAlive: true });
    this.pool.on('error', (error) => console.error('postgres:', error.message));
    this.tails = new Map();
  }

  async migrate() {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT pg_advisory_xact_lock(720720)');
      await client.query(SCHEMA);
      await client.query('COMMIT');
    } finally {
      client.release();
    }
  }

  close() {
    return this.pool.end();
  }

  async #rows(name, text, values) {
    return (await this.pool.query({ name, text, values })).rows;
  }

  async createApp(name) {
    const app = { app_id: newId('app'), api_key: newSecret('rhq_key') };
    await this.#rows('app-create', 'INSERT INTO apps (id, name, key_hash) VALUES ($1, $2, $3)', [
      app.app_id, name, sha256(app.api_key),
    ]);
    return app;
  }

  async createToken(appId, name, permissions) {
    const secret = newSecret('rhq_adm');
    await this.#rows(
      'token-create',
      'INSERT INTO admin_tokens (id, app_id, name, token_hash, permissions) VALUES ($1, $2, $3, $4, $5)',
      [newId('tok'), appId, name, sha256(secret), permissions],
    );
    return { admin_token: secret };
  }

  async keyHash(appId) {
    const [row] = await this.#rows('key-hash', 'SELECT key_hash FROM apps WHERE id = $1', [appId]);
    return row?.key_hash;
  }

  async token(secret) {
    const [row] = await this.#rows(
      'token',
      `SELECT app_id, name, permissions FROM admin_tokens
       WHERE token_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`,
      [sha256(secret)],
    );
    return row;
  }

  /** The device's latest conversation, if it has one. */
  async latestConversation(appId, deviceId) {
    const [row] = await this.#rows(
      'latest-conversation',
      `SELECT * FROM conversations WHERE app_id = $1 AND device_id = $2 ORDER BY created_at DESC LIMIT 1`,
      [appId, deviceId],
    );
    return row;
  }

  /** The device's open conversation, or a new one. */
  async openConversation(appId, deviceId) {
    const latest = await this.latestConversation(appId, deviceId);
    if (latest?.status === 'open') return latest;
    const [row] = await this.#rows(
      'conversation-create',
      'INSERT INTO conversations (id, app_id, device_id) VALUES ($1, $2, $3) RETURNING *',
      [newId('conv'), appId, deviceId],
    );
    return row;
  }

  /** A conversation of the app and, where a device asks, of that device. */
  async conversation(appId, deviceId, id) {
    const [row] = await this.#rows(
      'conversation',
      'SELECT * FROM conversations WHERE id = $1 AND app_id = $2 AND ($3::text IS NULL OR device_id = $3)',
      [id, appId, deviceId],
    );
    if (!row) throw new ApiError('CONVERSATION_NOT_FOUND');
    return row;
  }

  /** One page of messages after the given message, oldest first. */
  async messagesAfter(conversationId, after, limit) {
    let seq = 0;
    if (after) {
      const [row] = await this.#rows(
        'cursor', 'SELECT seq FROM messages WHERE id = $1 AND conversation_id = $2', [after, conversationId],
      );
      if (!row) throw new ApiError('MESSAGE_NOT_FOUND');
      seq = row.seq;
    }
    const rows = await this.#rows(
      'messages-after',
      'SELECT * FROM messages WHERE conversation_id = $1 AND seq > $2 ORDER BY seq LIMIT $3',
      [conversationId, seq, limit + 1],
    );
    return { messages: rows.slice(0, limit).map(toMessage), has_more: rows.length > limit };
  }

  /**
   * Stores a message and passes it to `published` before the next one of the same conversation is stored, so that
   * what this process broadcasts is in seq order. Waiting here rather than on the row lock also keeps one busy
   * conversation from holding the whole pool.
   */
  async send(message, published) {
    const key = message.conversationId;
    const turn = (this.tails.get(key) ?? Promise.resolve()).then(async () => {
      const outcome = await this.#store(message);
      if (outcome.isNew) published(outcome);
      return outcome;
    });
    const tail = turn.catch(() => {});
    this.tails.set(key, tail);
    try {
      return await turn;
    } finally {
      if (this.tails.get(key) === tail) this.tails.delete(key);
    }
  }

  async #store({ appId, deviceId, conversationId, localId, body, sender, senderName }) {
    const id = newId('msg');
    const values = [conversationId, appId, deviceId ?? null, id, localId, body, sender, senderName ?? null];
    let rows;
    try {
      rows = await this.#rows('send', SEND, values);
    } catch (error) {
      if (error.code !== UNIQUE_VIOLATION) throw error;
      rows = await this.#rows('send', SEND, values);
    }
    const [row] = rows;
    if (!row) throw new ApiError('CONVERSATION_NOT_FOUND');
    if (row.existing_id !== null) {
      if (row.existing_body !== body || row.existing_sender !== sender) throw new ApiError('LOCAL_ID_CONFLICT');
      return {
        isNew: false,
        message: toMessage({
          id: row.existing_id, local_id: localId, conversation_id: conversationId, seq: row.existing_seq, body,
          sender, sender_name: row.existing_sender_name, created_at: row.created_at, status: row.existing_status,
        }),
      };
    }
    return {
      isNew: true,
      message: toMessage({
        id, local_id: localId, conversation_id: conversationId, seq: row.last_seq, body, sender,
        sender_name: senderName, created_at: row.created_at, status: 'sent',
      }),
      conversation: toConversation({
        id: conversationId, app_id: appId, device_id: row.device_id, status: row.conversations_status,
        last_seq: row.last_seq, created_at: row.conversation_created_at, updated_at: row.created_at,
      }),
    };
  }
}
