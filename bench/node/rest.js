import Fastify from 'fastify';
import { toConversation } from './db.js';
import { ApiError } from './errors.js';

const PAGE = 50;
const MAX_PAGE = 200;

const text = { type: 'string' };
const message = {
  type: 'object',
  properties: {
    id: text, local_id: text, conversation_id: text, seq: { type: 'integer' }, body: text, sender: text,
    sender_name: text, created_at: text, status: text,
  },
};
const conversation = {
  type: 'object',
  properties: {
    id: text, app_id: text, device_id: text, status: text, last_seq: { type: 'integer' }, created_at: text,
    updated_at: text,
  },
};

// With a schema, fastify compiles a serializer for the answer.
const answers = (properties) => {
  const schema = { type: 'object', properties };
  return { schema: { response: { 200: schema, 201: schema } } };
};
const page = answers({ messages: { type: 'array', items: message }, has_more: { type: 'boolean' } });

/** Makes the HTTP server; `wireRest` gives it the routes. */
export function createHttp() {
  const http = Fastify({ logger: false, bodyLimit: 65_536 });
  http.setErrorHandler((error, request, reply) => {
    const status = error.statusCode ?? 500;
    if (status >= 500) console.error(`${request.method} ${request.url}:`, error);
    const code = error instanceof ApiError ? error.code : status < 500 ? 'VALIDATION_ERROR' : 'SERVER_ERROR';
    reply.code(status).send({ code, message: status < 500 ? error.message : 'something went wrong' });
  });
  return http;
}

export function wireRest(http, { db, auth, chat }) {
  const device = ({ headers }) => auth.device({
    app_id: headers['x-app-id'], device_id: headers['x-device-id'], api_key: headers['x-api-key'],
  });
  const agent = async ({ headers }, permission) => {
    const found = await auth.agent(headers.authorization?.replace(/^Bearer /, ''));
    if (!found.permissions.has(permission)) throw new ApiError('FORBIDDEN');
    return found;
  };
  const send = async (author, request, reply) => {
    const input = { ...request.body, conversation_id: request.params.id };
    input.local_id ??= request.headers['idempotency-key'];
    const outcome = await chat.send(author, input);
    reply.code(outcome.isNew ? 201 : 200);
    return { message: outcome.message };
  };
  const history = async (author, request) => {
    const { after, limit } = request.query;
    const found = await db.conversation(author.appId, author.deviceId, request.params.id);
    const size = Math.min(Math.max(Number(limit) || PAGE, 1), MAX_PAGE);
    return db.messagesAfter(found.id, after, size);
  };

  http.get('/healthz', async () => ({ status: 'ok' }));

  http.post('/v1/conversations', answers({ conversation }), async (request) => {
    const { appId, deviceId } = await device(request);
    return { conversation: toConversation(await db.openConversation(appId, deviceId)) };
  });

  http.post('/v1/conversations/:id/messages', answers({ message }), async (request, reply) => {
    const { appId, deviceId } = await device(request);
    return send({ appId, deviceId, sender: 'user' }, request, reply);
  });

  http.get('/v1/conversations/:id/messages', page, async (request) => history(await device(request), request));

  http.post('/v1/admin/conversations/:id/messages', answers({ message }), async (request, reply) => {
    const { appId, name } = await agent(request, 'send_messages');
    return send({ appId, sender: 'agent', senderName: name }, request, reply);
  });

  http.get('/v1/admin/conversations/:id/messages', page, async (request) => {
    const { appId } = await agent(request, 'view_conversations');
    return history({ appId }, request);
  });
}
