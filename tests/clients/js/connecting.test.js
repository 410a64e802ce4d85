// Connecting: what is told first, and who is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentAuth, Client, conversation, device, deviceAuth } from './client.js';
import { Server } from './server.js';

test('a device hears connected, and then joins its latest conversation', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const conversation_id = await conversation(server, app, 'phone');
  const phone = new Client(t, server, '/client', deviceAuth(app, 'phone'));
  await phone.expect('connect');
  const joined = await phone.expect('conversation:joined');
  assert.deepEqual(joined, { conversation_id, last_seq: 0 });
  // It came after this one, which was not taken yet.
  const [first, ...more] = phone.heard;
  assert.equal(first.name, 'connected');
  assert.match(first.data.connection_id, /^conn_/);
  assert.match(first.data.server_time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(more, []);
});

test('a wrong credential is refused with its code', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const wrongs = [
    ['/client', { ...deviceAuth(app, 'phone'), api_key: 'rhq_key_wrong' }],
    ['/client', { ...deviceAuth(app, 'phone'), app_id: 'app_other' }],
    ['/admin', { ...agentAuth(app), admin_token: app.api_key }],
  ];
  for (const [namespace, auth] of wrongs) {
    const refused = new Client(t, server, namespace, auth);
    const error = await refused.expect('connect_error');
    assert.equal(error.message, 'INVALID_CREDENTIALS');
    assert.equal(error.data.code, 'INVALID_CREDENTIALS');
  }
});

test('a missing field is told apart from a wrong one', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const auths = [['/client', deviceAuth(app, 'phone')], ['/admin', agentAuth(app)]];
  for (const [namespace, auth] of auths) {
    for (const field of Object.keys(auth)) {
      const refused = new Client(t, server, namespace, { ...auth, [field]: undefined });
      const error = await refused.expect('connect_error');
      assert.equal(error.message, 'MISSING_PARAMS', `${namespace} without ${field}`);
    }
  }
});

test('the newest tab gets in, and the one that was silent longest is told why it goes and stays away', async (t) => {
  const server = await Server.start(t, ['--max-connections-per-device', '2']);
  const app = await server.app();
  const silent = await device(t, server, app, 'phone');
  const tab = await device(t, server, app, 'phone');
  assert.equal(await tab.call('ping', {}), 'pong');
  const newest = await device(t, server, app, 'phone');
  assert.equal((await silent.expect('error')).code, 'TOO_MANY_CONNECTIONS');
  assert.equal(await silent.expect('disconnect'), 'io server disconnect');
  assert.equal(silent.socket.active, false, 'it does not come back by itself, and pushes nobody out in turn');
  for (const client of [tab, newest]) assert.equal(await client.call('ping', {}), 'pong');
});

test('polling is refused', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const refused = new Client(t, server, '/client', deviceAuth(app, 'phone'), { transports: ['polling'] });
  const error = await refused.expect('connect_error');
  assert.equal(error.context.status, 400);
  // The client keeps the reason to itself.
  const response = await fetch(`${server.url}/v1/socket.io/?EIO=4&transport=polling`);
  assert.equal(response.status, 400);
  assert.deepEqual(await response.json(), { code: 0, message: 'Transport unknown' });
});

test('both namespaces share one connection', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const conversation_id = await conversation(server, app, 'phone');
  const shared = { forceNew: false };
  const phone = new Client(t, server, '/client', deviceAuth(app, 'phone'), shared);
  const ada = new Client(t, server, '/admin', agentAuth(app), shared);
  assert.equal(phone.socket.io, ada.socket.io);
  await ada.expect('connected');
  await phone.expect('conversation:joined');
  await ada.done('message:send', { conversation_id, local_id: 'a1', body: 'Hello' });
  assert.equal((await phone.expect('message:new')).body, 'Hello');
});

test('a ping is answered by an ack, and by an event where no ack is asked for', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const phone = await device(t, server, app, 'phone');
  assert.equal(await phone.call('ping'), 'pong');
  phone.socket.emit('ping');
  await phone.expect('pong');
});
