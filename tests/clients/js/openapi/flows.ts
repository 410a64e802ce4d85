// What a client does that somebody has generated from the OpenAPI document: both sides' flows, checked by the compiler against
// the types of the document, and run against a server.

import createClient from 'openapi-fetch';
import type { paths } from './schema.js';

export interface Credentials {
  app_id: string;
  api_key: string;
  admin_token: string;
}

/** The answer's data; an error that shows the failure where there is none. */
function good<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

/** Runs both flows; returns what they have seen, in order. */
export async function run(baseUrl: string, app: Credentials, device_id: string): Promise<string[]> {
  const seen: string[] = [];
  const device = createClient<paths>({
    baseUrl,
    headers: { 'X-App-Id': app.app_id, 'X-Device-Id': device_id, 'X-Api-Key': app.api_key },
  });
  const agent = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${app.admin_token}` } });

  const user = { id: 'ann', name: 'Ann', email: 'ann@example.com', attributes: { plan: 'pro' } };
  const { conversation } = good(await device.POST('/v1/conversations', { body: { user, device_context: { os: 'x' } } }));
  const path = { id: conversation.id };
  const send = { params: { path }, body: { local_id: 'one', body: 'hello' } };
  const first = await device.POST('/v1/conversations/{id}/messages', send);
  const again = await device.POST('/v1/conversations/{id}/messages', send);
  seen.push(`stored ${first.response.status}, again ${again.response.status}`);
  const { message } = good(again);
  const conflict = await device.POST('/v1/conversations/{id}/messages', {
    params: { path, header: { 'Idempotency-Key': 'one' } },
    body: { body: 'something else' },
  });
  seen.push(`conflict ${conflict.response.status} ${conflict.error?.code}`);

  const inbox = good(await agent.GET('/v1/admin/conversations', { params: { query: { status: 'open', limit: 10 } } }));
  seen.push(`inbox ${inbox.conversations.length}, unread ${inbox.conversations[0]?.unread_count}`);
  const one = good(await agent.GET('/v1/admin/conversations/{id}', { params: { path } }));
  seen.push(`of ${one.conversation.user_id} on ${one.conversation.device_id}`);
  const answered = good(
    await agent.POST('/v1/admin/conversations/{id}/messages', {
      params: { path },
      body: { local_id: 'answer', body: 'hi' },
    }),
  );
  const resolved = await agent.PATCH('/v1/admin/conversations/{id}', { params: { path }, body: { status: 'resolved' } });
  seen.push(good(resolved).conversation.status);

  const history = good(
    await device.GET('/v1/conversations/{id}/messages', { params: { path, query: { after: message.id, limit: 5 } } }),
  );
  seen.push(history.messages.map(({ seq, sender, body }) => `${seq} ${sender} ${body}`).join());
  const body = { up_to_message_id: answered.message.id };
  good(await device.POST('/v1/conversations/{id}/messages/delivered', { params: { path }, body }));
  good(await device.POST('/v1/conversations/{id}/messages/read', { params: { path }, body }));
  const after = good(await agent.GET('/v1/admin/conversations/{id}/messages', { params: { path } }));
  seen.push(after.messages.map(({ status }) => status).join());
  const own = good(await device.GET('/v1/conversations', {}));
  seen.push(`own ${own.conversations.length}, more ${own.has_more}`);
  good(await device.POST('/v1/identify', { body: { user: null } }));
  const nobodys = good(await device.GET('/v1/conversations', { params: { query: { limit: 1 } } }));
  seen.push(`nobody's ${nobodys.conversations.length}`);

  const sessions = good(await agent.GET('/v1/admin/sessions', {}));
  const stats = good(await agent.GET('/v1/admin/stats', {}));
  seen.push(`sessions ${sessions.sessions.length}, nodes at least ${Math.min(stats.nodes, 1)}`);
  const presence = await agent.GET('/v1/admin/devices/{device_id}/presence', { params: { path: { device_id: 'phone' } } });
  seen.push(`online ${good(presence).is_online}`);
  const audit = await agent.GET('/v1/admin/audit', { params: { query: { limit: 1 } } });
  seen.push(`audit ${audit.response.status} ${audit.error?.code}`);
  const unknown = await device.GET('/v1/conversations/{id}/messages', { params: { path: { id: 'conv_none' } } });
  seen.push(`unknown ${unknown.response.status} ${unknown.error?.code}`);
  return seen;
}
