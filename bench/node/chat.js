import { ApiError } from './errors.js';

const MAX_BODY = 5_000;
const MAX_LOCAL_ID = 64;

export const rooms = {
  conversation: (id) => id,
  conversations: (appId) => `feed:${appId}:conversations`,
  sessions: (appId) => `feed:${appId}:sessions`,
  presence: (appId) => `feed:${appId}:presence`,
};

/** What a message does, wherever it came in. */
export class Chat {
  constructor(db, io) {
    this.db = db;
    this.clients = io.of('/client');
    this.admins = io.of('/admin');
  }

  /** Stores a message and, if it is new, broadcasts it. */
  send(author, input) {
    if (typeof input?.conversation_id !== 'string') throw new ApiError('MISSING_PARAMS');
    const { body, local_id: localId } = input;
    if (typeof body !== 'string' || body.length === 0) throw new ApiError('VALIDATION_ERROR', 'body is required');
    if (body.length > MAX_BODY) throw new ApiError('MESSAGE_TOO_LONG');
    if (typeof localId !== 'string' || localId.length === 0 || localId.length > MAX_LOCAL_ID) {
      throw new ApiError('VALIDATION_ERROR', 'local_id is required');
    }
    const message = { ...author, conversationId: input.conversation_id, localId, body };
    return this.db.send(message, (outcome) => this.#broadcast(outcome));
  }

  #broadcast({ message, conversation }) {
    const room = rooms.conversation(message.conversation_id);
    this.clients.to(room).emit('message:new', message);
    this.admins.to(room).emit('message:new', message);
    this.admins
      .to(rooms.conversations(conversation.app_id))
      .emit('conversation:updated', { conversation, last_message: message });
  }
}
