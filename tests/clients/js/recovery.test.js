// Recovery: away and back, restarts, and a server that leaves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agent, asDevice, conversation, device } from './client.js';
import { PATIENCE, patiently } from './patience.js';
import { Gate, Server } from './server.js';

/** The history that a device keeps, by the rule for SDKs: on each connect join after the last message that it has. */
class History {
  constructor(client, conversation_id) {
    this.messages = [];
    this.wake = () => {};
    // What comes between a connect and the join's answer is in that answer too.
    let isCaughtUp = true;
    // A callback, not an await: an await goes on only after other packets that came together with the answer.
    const caughtUp = (late, answer) => {
      assert.ok(!late && answer.success && !answer.has_more, JSON.stringify(answer));
      isCaughtUp = true;
      this.add(answer.messages);
    };
    const { socket } = client;
    socket.on('message:new', (message) => isCaughtUp && this.add([message]));
    socket.on('disconnect', () => (isCaughtUp = false));
    socket.on('connect', () => {
      const after = this.messages.at(-1)?.id ?? '';
      socket.timeout(PATIENCE).emit('conversation:join', { conversation_id, after }, caughtUp);
    });
  }

  add(messages) {
    this.messages.push(...messages);
    this.wake();
  }

  /** Waits for this message, and checks that nothing is missing, doubled or out of order up to it. */
  async reaches(seq) {
    const reached = async () => {
      while ((this.messages.at(-1)?.seq ?? 0) < seq) await new Promise((resolve) => (this.wake = resolve));
    };
    await patiently(`message ${seq}`, reached());
    assert.deepEqual(this.messages.map((message) => message.seq), Array.from({ length: seq }, (_, index) => index + 1));
  }
}

async function setting(t) {
  const server = await Server.start(t);
  const app = await server.app();
  const conversation_id = await conversation(server, app, 'phone');
  const phone = await device(t, server, app, 'phone');
  await phone.expect('conversation:joined');
  const history = new History(phone, conversation_id);
  const ada = await agent(t, server, app);
  let count = 0;
  const say = async () => {
    count += 1;
    await ada.done('message:send', { conversation_id, local_id: `l${count}`, body: `Number ${count}` });
  };
  return { server, app, conversation_id, phone, history, ada, say };
}

test('what was said while the device was away comes once, and then what is said live', async (t) => {
  const { phone, history, say } = await setting(t);
  await say();
  await say();
  await history.reaches(2);
  phone.socket.disconnect();
  await say();
  await say();
  await say();
  await history.reaches(2);
  phone.socket.connect();
  await history.reaches(5);
  await say();
  await history.reaches(6);
});

test('nothing is lost or doubled at the seam while the agent goes on talking', async (t) => {
  const { phone, history, say } = await setting(t);
  await say();
  await history.reaches(1);
  phone.socket.disconnect();
  const talking = (async () => {
    for (let said = 1; said < 40; said += 1) await say();
  })();
  phone.socket.connect();
  await talking;
  await history.reaches(40);
});

for (const signal of ['SIGTERM', 'SIGKILL']) {
  test(`after a restart (${signal}) clients come back by themselves and catch up`, async (t) => {
    const { server, phone, history, ada, say } = await setting(t);
    await say();
    await say();
    await history.reaches(2);
    server.process.kill(signal);
    await patiently("the server's end", server.exit);
    assert.equal(await phone.expect('disconnect'), 'transport close');
    await server.startAgain();
    await ada.expect('connect');
    await say();
    await phone.expect('connect');
    await history.reaches(3);
    await say();
    await history.reaches(4);
  });
}

// The suite runs on a Postgres, too.
const onPostgres = { skip: Gate.isThere ? false : 'a SQLite file is never away' };

test('who comes while the database is away comes back by itself when it is back', onPostgres, async (t) => {
  const gate = await Gate.before(t);
  const server = await Server.start(t, [], gate.url);
  const app = await server.app();
  const phone = await device(t, server, app, 'phone');
  const ada = await agent(t, server, app);
  gate.shut();
  for (const { socket } of [phone, ada]) socket.io.engine.close();
  await phone.expect('disconnect');
  const turnedAway = async () => {
    for (;;) {
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      const counts = [...metrics.matchAll(/logins_refused_total\{.*code="AUTH_ERROR"\} (\d+)/g)].map((match) => Number(match[1]));
      if (counts.length === 2 && counts.every((count) => count >= 2)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await patiently('both to be turned away twice', turnedAway());
  gate.open();
  await phone.expect('connect');
  await ada.expect('connect');
  assert.equal(phone.heard.find((event) => event.name === 'connect_error'), undefined);
});

test('a server that leaves tells each client another time to come back, and answers what it took', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const names = ['one', 'two', 'three', 'four', 'five'];
  const clients = [];
  for (const name of names) {
    const conversation_id = await conversation(server, app, name);
    const client = await device(t, server, app, name, { reconnection: false });
    clients.push({ name, client, conversation_id });
  }
  const ada = await agent(t, server, app, { reconnection: false });
  const sends = clients.flatMap(({ name, client, conversation_id }) =>
    [1, 2, 3, 4, 5, 6].map((number) => {
      const local_id = `${name}-${number}`;
      const answer = client.call('message:send', { conversation_id, local_id, body: 'Hello' });
      return answer.then((ack) => ({ local_id, ack }), () => ({ local_id, ack: null }));
    }),
  );
  await Promise.any(sends);
  const exit = server.terminate();
  const delays = new Set();
  const all = [...clients.map(({ client }) => client), ada];
  for (const client of all) {
    const { message, reconnect_delay_ms } = await client.expect('server:shutdown');
    assert.equal(typeof message, 'string');
    delays.add(reconnect_delay_ms);
    // A reason after which the stock client comes back by itself.
    assert.equal(await client.expect('disconnect'), 'transport close');
  }
  assert.equal(delays.size, all.length, 'all differ');
  assert.equal(await exit, 0);

  const answers = await Promise.all(sends);
  const refused = answers.filter(({ ack }) => ack?.success === false);
  for (const { ack } of refused) assert.equal(ack.error, 'SHUTTING_DOWN');
  const acked = answers.filter(({ ack }) => ack?.success).map(({ local_id }) => local_id);
  assert.ok(acked.length > 0);
  await server.startAgain();
  const stored = [];
  for (const { name, conversation_id } of clients) {
    const page = await asDevice(server, app, name, 'GET', `/v1/conversations/${conversation_id}/messages`);
    stored.push(...page.messages.map((message) => message.local_id));
  }
  assert.deepEqual(acked.sort(), stored.sort(), 'what is stored was acknowledged, and nothing else was');
});
