// Talking: joining, sending, hearing, typing, receipts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WIRES, agent, conversation, device } from './client.js';
import { Server } from './server.js';

/** A phone and an agent who are both in the phone's conversation. */
async function both(t) {
  const server = await Server.start(t);
  const app = await server.app();
  const conversation_id = await conversation(server, app, 'phone');
  const phone = await device(t, server, app, 'phone');
  await phone.expect('conversation:joined');
  const ada = await agent(t, server, app);
  await ada.done('conversation:join', { conversation_id });
  await ada.expect('conversation:joined');
  return { server, app, conversation_id, phone, ada };
}

test('a join with a cursor carries what followed it', async (t) => {
  const { conversation_id, phone, ada } = await both(t);
  const sent = [];
  for (const number of [1, 2, 3]) {
    const payload = { conversation_id, local_id: `l${number}`, body: `Number ${number}` };
    sent.push((await phone.done('message:send', payload)).message);
  }
  const last = { last_message_id: sent[2].id, last_seq: 3 };
  const some = await ada.done('conversation:join', { conversation_id, after: sent[0].id });
  const receipts = { user_delivered_seq: 0, user_read_seq: 0, agent_delivered_seq: 0, agent_read_seq: 0 };
  // What the team does and notes beside the messages is counted for agents alone.
  const answer = { success: true, ...last, last_activity: 0 };
  assert.deepEqual(some, { ...answer, messages: sent.slice(1), has_more: false, receipts });
  assert.deepEqual(await ada.expect('conversation:joined'), { conversation_id, ...last });
  const all = await ada.done('conversation:join', { conversation_id, after: '' });
  assert.deepEqual(all.messages, sent);
  const none = await ada.done('conversation:join', { conversation_id });
  assert.deepEqual(none, answer);
  assert.equal(await ada.refused('conversation:join', { conversation_id, after: 'msg_no' }), 'MESSAGE_NOT_FOUND');
});

test('a join takes a bare id, as early SDKs send it', async (t) => {
  const { conversation_id, phone } = await both(t);
  assert.deepEqual(await phone.done('conversation:leave', conversation_id), { success: true });
  assert.deepEqual(await phone.done('conversation:join', conversation_id), { success: true, last_seq: 0 });
  assert.equal(await phone.refused('conversation:join', 'conv_other'), 'CONVERSATION_NOT_FOUND');
});

test('a retry gets the stored message and is told to nobody; another body is refused', async (t) => {
  const { conversation_id, phone, ada } = await both(t);
  const payload = { conversation_id, local_id: 'l1', body: 'Hello' };
  const { message } = await phone.done('message:send', payload);
  assert.equal(message.seq, 1);
  assert.equal(message.sender, 'user');
  assert.equal(message.local_id, 'l1');
  assert.deepEqual((await phone.done('message:send', payload)).message, message);
  assert.equal(await phone.refused('message:send', { ...payload, body: 'Another' }), 'LOCAL_ID_CONFLICT');
  assert.deepEqual(await phone.settled('message:new'), [message]);
  assert.deepEqual(await ada.settled('message:new'), [message]);
});

test('a failure without an ack callback is an error event', async (t) => {
  const { conversation_id, phone } = await both(t);
  phone.socket.emit('message:send', { conversation_id, local_id: 'l1', body: 'x'.repeat(5001) });
  const error = await phone.expect('error');
  assert.equal(error.code, 'MESSAGE_TOO_LONG');
  assert.equal(typeof error.message, 'string');
});

test('an event of more than 64 KiB is refused, and the connection goes on', async (t) => {
  const { server, app, conversation_id } = await both(t);
  // In MessagePack who waits for an answer stands behind what is too long: see below.
  const phone = await device(t, server, app, 'phone', WIRES.json);
  const payload = (local_id, length) => ({ conversation_id, local_id, body: '李'.repeat(length) });
  for (const characters of [22_000, 340_000]) {
    assert.equal(await phone.refused('message:send', payload('l1', characters)), 'MESSAGE_TOO_LONG');
    phone.socket.emit('message:send', payload('l2', characters));
    assert.equal((await phone.expect('error')).code, 'MESSAGE_TOO_LONG');
  }
  await phone.done('message:send', payload('l3', 10));
  // What tries again by itself does so as often as it is told to, and what comes after it is not held up.
  const retrying = await device(t, server, app, 'tablet', { ...WIRES.json, retries: 3, ackTimeout: 5_000 });
  let refusals = 0;
  const refused = new Promise((resolve) => {
    retrying.socket.emit('message:send', payload('l4', 30_000), (error, answer) => {
      refusals += 1;
      resolve(error ?? answer);
    });
  });
  assert.equal((await refused).error, 'MESSAGE_TOO_LONG');
  assert.equal(await retrying.call('ping', {}), 'pong');
  assert.equal(refusals, 1);
  phone.socket.emit('message:send', payload('l5', 400_000));
  await phone.expect('disconnect');
});

test('both sides hear both sides, and an inbox hears of everything', async (t) => {
  const { server, app, conversation_id, phone, ada } = await both(t);
  const grace = await agent(t, server, app);
  const fromPhone = await phone.done('message:send', { conversation_id, local_id: 'l1', body: 'Hello 👋' });
  const fromAda = await ada.done('message:send', { conversation_id, local_id: 'l2', body: 'Hi' });
  assert.equal(fromAda.message.sender, 'agent');
  assert.equal(fromAda.message.sender_name, 'Ada');
  for (const client of [phone, ada]) {
    assert.deepEqual(await client.expect('message:new'), fromPhone.message);
    assert.deepEqual(await client.expect('message:new'), fromAda.message);
  }
  // She has joined nothing, and has an inbox all the same.
  const updated = await grace.expect('conversation:updated', (data) => data.last_message?.id === fromAda.message.id);
  assert.equal(updated.conversation.id, conversation_id);
  assert.equal(updated.conversation.last_seq, 2);
  assert.deepEqual(await grace.settled('message:new'), []);
});

test('each side sees the other type', async (t) => {
  const { conversation_id, phone, ada } = await both(t);
  await phone.done('typing:start', { conversation_id });
  assert.deepEqual(await ada.expect('user:typing'), { conversation_id, device_id: 'phone', is_typing: true });
  await phone.done('typing:stop', conversation_id);
  assert.deepEqual(await ada.expect('user:typing'), { conversation_id, device_id: 'phone', is_typing: false });
  await ada.done('typing:start', { conversation_id });
  assert.deepEqual(await phone.expect('agent:typing'), { conversation_id, is_typing: true });
  await ada.done('typing:stop', { conversation_id });
  assert.deepEqual(await phone.expect('agent:typing'), { conversation_id, is_typing: false });
});

test('receipts move the status forward, for both sides to see', async (t) => {
  const { conversation_id, phone, ada } = await both(t);
  const { message } = await ada.done('message:send', { conversation_id, local_id: 'l1', body: 'Hi' });
  await phone.done('delivery:receipt', { message_id: message.id });
  await phone.done('message:read', { conversation_id, up_to_message_id: message.id });
  // Backwards it does not go.
  await phone.done('delivery:receipt', { conversation_id, up_to_message_id: message.id });
  for (const client of [phone, ada]) {
    const statuses = await client.settled('message:status');
    assert.deepEqual(
      statuses.map(({ at, ...status }) => status),
      ['delivered', 'read'].map((status) => ({ conversation_id, up_to_seq: 1, status, by: 'user' })),
    );
  }
  const answer = await phone.done('message:send', { conversation_id, local_id: 'l2', body: 'Thanks' });
  await ada.done('message:read', { conversation_id, up_to_message_id: answer.message.id });
  const read = await phone.expect('message:status');
  assert.equal(read.up_to_seq, 2);
  assert.equal(read.status, 'read');
  assert.equal(read.by, 'agent');
});

test('clients of both ways of writing share a room, and see the same', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const conversation_id = await conversation(server, app, 'phone');
  const phones = [];
  for (const wire of [WIRES.json, WIRES.msgpack]) {
    const phone = await device(t, server, app, 'phone', wire);
    await phone.expect('conversation:joined');
    phones.push(phone);
  }
  const agents = [await agent(t, server, app, WIRES.msgpack), await agent(t, server, app, WIRES.json)];
  for (const ada of agents) await ada.done('conversation:join', { conversation_id });
  const everybody = [...phones, ...agents];
  const expected = [];
  for (const [number, client] of everybody.entries()) {
    const payload = { conversation_id, local_id: `l${number}`, body: `Number ${number} 👋 é李 \u0001` };
    expected.push((await client.done('message:send', payload)).message);
  }
  await agents[0].done('message:read', { conversation_id, up_to_message_id: expected[1].id });
  const statuses = [];
  for (const client of everybody) {
    statuses.push(await client.expect('message:status'));
    assert.deepEqual(await client.settled('message:new'), expected);
  }
  for (const status of statuses) assert.deepEqual(status, statuses[0]);
  const updates = [];
  for (const ada of agents) updates.push((await ada.settled('conversation:updated')).at(-1));
  assert.deepEqual(updates[0], updates[1]);
  assert.equal(updates[0].conversation.last_seq, 4);
});

test('what is too long is told in either way of writing, and the connection goes on', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const conversation_id = await conversation(server, app, 'phone');
  const payload = { conversation_id, local_id: 'l1', body: 'x'.repeat(100_000) };
  const json = await device(t, server, app, 'phone', WIRES.json);
  assert.equal(await json.refused('message:send', payload), 'MESSAGE_TOO_LONG');
  // Its packets say behind the body who waits for what: the answer is an event.
  const packed = await device(t, server, app, 'phone', WIRES.msgpack);
  packed.socket.emit('message:send', payload);
  assert.equal((await packed.expect('error')).code, 'MESSAGE_TOO_LONG');
  for (const client of [json, packed]) assert.equal(await client.call('ping', {}), 'pong');
});
