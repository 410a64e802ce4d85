import { rooms } from './chat.js';
import { ApiError } from './errors.js';
import { newId } from './ids.js';

const PAGE = 50;

/** Wires the two namespaces. */
export function wireSockets(io, { db, auth, presence, chat }) {
  // The upgrade request is not needed after the handshake, and keeping it is most of an idle connection.
  io.engine.on('connection', (raw) => {
    raw.request = null;
  });
  const clients = io.of('/client');
  const admins = io.of('/admin');

  clients.use(guard(async (socket) => {
    socket.data.author = { ...(await auth.device(socket.handshake.auth)), sender: 'user' };
  }));
  admins.use(guard(async (socket) => {
    const { admin_token: token, app_id: appId } = socket.handshake.auth;
    const agent = await auth.agent(token, appId);
    socket.data.permissions = agent.permissions;
    socket.data.author = { appId: agent.appId, sender: 'agent', senderName: agent.name };
  }));

  clients.on('connection', (socket) => {
    const { appId, deviceId } = socket.data.author;
    const session = {
      connection_id: newId('conn'), app_id: appId, device_id: deviceId, connected_at: new Date().toISOString(),
    };
    const ready = greet(socket, session).catch((error) => {
      console.error('connect:', error.message);
      socket.disconnect(true);
    });
    wireConversations(socket, ready);
    wireTyping(socket, (conversationId, isTyping) => {
      const event = { conversation_id: conversationId, device_id: deviceId, is_typing: isTyping };
      socket.to(rooms.conversation(conversationId)).emit('user:typing', event);
      admins.to(rooms.conversation(conversationId)).emit('user:typing', event);
    });
    socket.on('disconnect', (reason) => {
      ready.then(() => farewell(session, reason)).catch((error) => console.error('disconnect:', error.message));
    });
  });

  admins.on('connection', (socket) => {
    const { appId } = socket.data.author;
    const { permissions } = socket.data;
    const feeds = [
      ['view_conversations', rooms.conversations], ['view_sessions', rooms.sessions], ['view_presence', rooms.presence],
    ];
    socket.join(feeds.filter(([permission]) => permissions.has(permission)).map(([, room]) => room(appId)));
    socket.emit('connected', { connection_id: newId('conn'), server_time: new Date().toISOString() });
    wireConversations(socket, undefined);
    wireTyping(socket, (conversationId, isTyping) => {
      const event = { conversation_id: conversationId, is_typing: isTyping };
      clients.to(rooms.conversation(conversationId)).emit('agent:typing', event);
    });
    answer(socket, 'app:subscribe', async ({ app_id: wanted }) => {
      if (wanted !== appId) throw new ApiError('FORBIDDEN');
      return {};
    });
    answer(socket, 'sessions:list', async () => {
      if (!permissions.has('view_sessions')) throw new ApiError('FORBIDDEN');
      return { sessions: await presence.list(appId) };
    });
  });

  /** Registers the session, says `connected`, joins the latest conversation. */
  async function greet(socket, session) {
    const { app_id, device_id } = session;
    const [active, latest] = await Promise.all([
      presence.register(session), db.latestConversation(app_id, device_id),
    ]);
    socket.emit('connected', { connection_id: session.connection_id, server_time: new Date().toISOString() });
    if (latest) {
      socket.join(rooms.conversation(latest.id));
      socket.emit('conversation:joined', joined(latest));
    }
    admins.to(rooms.sessions(app_id)).emit('session:connect', session);
    if (active === 1) announce(session, 1);
  }

  async function farewell(session, reason) {
    const left = await presence.unregister(session);
    if (left < 0) return;
    const { app_id, device_id, connection_id } = session;
    admins.to(rooms.sessions(app_id)).emit('session:disconnect', { app_id, device_id, connection_id, reason });
    if (left === 0) announce(session, 0);
  }

  function announce({ app_id, device_id }, active) {
    admins.to(rooms.presence(app_id)).emit('presence:change', {
      app_id, device_id, is_online: active > 0, active_connections: active,
    });
  }

  function wireConversations(socket, ready) {
    const { author } = socket.data;
    answer(socket, 'conversation:join', async (input) => {
      await ready;
      const id = conversationId(input);
      if (author.sender === 'agent') requirePermission(socket, 'view_conversations');
      const conversation = await db.conversation(author.appId, author.deviceId, id);
      socket.join(rooms.conversation(id));
      const event = joined(conversation);
      socket.emit('conversation:joined', event);
      const { last_message_id, last_seq } = event;
      const page = input.after === undefined ? {} : await db.messagesAfter(id, input.after, PAGE);
      return { last_message_id, last_seq, ...page };
    });
    answer(socket, 'conversation:leave', async (input) => {
      socket.leave(rooms.conversation(conversationId(input)));
      return {};
    });
    answer(socket, 'message:send', async (input) => {
      await ready;
      if (author.sender === 'agent') requirePermission(socket, 'send_messages');
      return { message: (await chat.send(author, input)).message };
    });
    socket.on('ping', (ack) => (typeof ack === 'function' ? ack('pong') : socket.emit('pong')));
  }
}

function joined(conversation) {
  const event = { conversation_id: conversation.id, last_seq: conversation.last_seq };
  if (conversation.last_message_id) event.last_message_id = conversation.last_message_id;
  return event;
}

function wireTyping(socket, notify) {
  for (const [event, isTyping] of [['typing:start', true], ['typing:stop', false]]) {
    answer(socket, event, async (input) => {
      const id = conversationId(input);
      if (!socket.rooms.has(rooms.conversation(id))) throw new ApiError('CONVERSATION_NOT_FOUND');
      notify(id, isTyping);
      return {};
    });
  }
}

function conversationId(input) {
  const id = typeof input === 'string' ? input : input?.conversation_id;
  if (typeof id !== 'string') throw new ApiError('MISSING_PARAMS');
  return id;
}

function requirePermission(socket, permission) {
  if (!socket.data.permissions.has(permission)) throw new ApiError('FORBIDDEN');
}

/** A middleware whose refusal is the error's code. */
function guard(check) {
  return (socket, next) => {
    check(socket).then(() => next(), (error) => next(new Error(error instanceof ApiError ? error.code : 'AUTH_ERROR')));
  };
}

/** Answers an event by its ack, or by an `error` event where there is none to call. */
function answer(socket, event, handle) {
  socket.on(event, async (input, ack) => {
    try {
      const result = await handle(input ?? {});
      if (typeof ack === 'function') ack({ success: true, ...result });
    } catch (error) {
      const known = error instanceof ApiError;
      if (!known) console.error(`${event}:`, error);
      const code = known ? error.code : 'SERVER_ERROR';
      const message = known ? error.message : 'something went wrong';
      if (typeof ack === 'function') ack({ success: false, error: code, message });
      else socket.emit('error', { code, message });
    }
  });
}
