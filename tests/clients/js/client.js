// The stock client, with what it heard written down in the order in which it came.

import assert from 'node:assert/strict';
import { io } from 'socket.io-client';
import msgpack from 'socket.io-msgpack-parser';
import { PATIENCE, patiently } from './patience.js';

/** How packets may be written: as the client does by itself, or as MessagePack. */
export const WIRES = { json: { parser: undefined }, msgpack: { parser: msgpack } };

/** How this run writes them. */
const WIRE = WIRES[process.env.REPLYHQ_TEST_WIRE ?? 'json'];

/** What the client itself tells, beside the server's events. */
const LIFE = ['connect', 'connect_error', 'disconnect'];

export class Client {
  /** Begins to connect. It is closed when the test ends. */
  constructor(t, server, namespace, auth, options = {}) {
    this.heard = [];
    this.wake = () => {};
    this.socket = io(server.url + namespace, {
      path: '/v1/socket.io',
      transports: ['websocket'],
      auth,
      forceNew: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 500,
      ...WIRE,
      ...options,
    });
    this.socket.onAny((name, data) => this.hear(name, data));
    for (const name of LIFE) this.socket.on(name, (data) => this.hear(name, data));
    t.after(() => this.socket.disconnect());
  }

  hear(name, data) {
    this.heard.push({ name, data });
    this.wake();
  }

  /** Waits for the first event of this name, and of this content, that was not taken yet; takes it. */
  async expect(name, fits = () => true) {
    const taken = async () => {
      for (;;) {
        const index = this.heard.findIndex((event) => event.name === name && fits(event.data));
        if (index >= 0) return this.heard.splice(index, 1)[0].data;
        await new Promise((resolve) => (this.wake = resolve));
      }
    };
    try {
      return await patiently(name, taken());
    } catch (error) {
      throw new Error(`${error.message}; heard ${JSON.stringify(this.heard)}`);
    }
  }

  /** Takes every event of this name that the server had sent when it answered a `ping` of now. */
  async settled(name) {
    assert.equal(await this.call('ping', {}), 'pong');
    const events = this.heard.filter((event) => event.name === name);
    this.heard = this.heard.filter((event) => event.name !== name);
    return events.map((event) => event.data);
  }

  /** Emits and waits for the ack. */
  async call(name, payload) {
    return await this.socket.timeout(PATIENCE).emitWithAck(name, payload);
  }

  /** As `call`, for what must succeed. */
  async done(name, payload) {
    const answer = await this.call(name, payload);
    assert.equal(answer.success, true, `${name}: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** As `call`, for what must fail; returns the code. */
  async refused(name, payload) {
    const answer = await this.call(name, payload);
    assert.equal(answer.success, false, `${name}: ${JSON.stringify(answer)}`);
    assert.equal(typeof answer.message, 'string');
    return answer.error;
  }
}

/** What a device shows on `/client`. */
export function deviceAuth(app, device_id) {
  return { app_id: app.app_id, device_id, api_key: app.api_key };
}

/** What an agent shows on `/admin`. */
export function agentAuth(app) {
  return { app_id: app.app_id, admin_token: app.admin_token };
}

/** A device that is connected; what it hears from then on is not taken yet. */
export async function device(t, server, app, device_id, options) {
  const client = new Client(t, server, '/client', deviceAuth(app, device_id), options);
  await client.expect('connect');
  await client.expect('connected');
  return client;
}

/** An agent that is connected. */
export async function agent(t, server, app, options) {
  const client = new Client(t, server, '/admin', agentAuth(app), options);
  await client.expect('connect');
  await client.expect('connected');
  return client;
}

/** A REST request as this device; returns the body of a good answer. */
export async function asDevice(server, app, device_id, method, path, body) {
  const response = await fetch(server.url + path, {
    method,
    headers: {
      'content-type': 'application/json',
      'x-app-id': app.app_id,
      'x-device-id': device_id,
      'x-api-key': app.api_key,
    },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

/** The id of the device's open conversation; opened if there was none. */
export async function conversation(server, app, device_id) {
  const answer = await asDevice(server, app, device_id, 'POST', '/v1/conversations', {});
  return answer.conversation.id;
}
