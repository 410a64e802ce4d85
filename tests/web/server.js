// A server of the test's own: the real binary, on a free port, in a folder that is thrown away. People write to it by REST.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { io } from 'socket.io-client';
import { atEnd } from './ending.js';

const BINARY = process.env.REPLYHQ_BINARY ?? fileURLToPath(new URL('../../target/debug/replyhq', import.meta.url));
export const PASSWORD = 'correct horse battery';

/** Two nodes on one Postgres and one Redis, which `cargo xtask test` starts, behind a balancer. */
export async function startNodes(t, flags = []) {
  const { REPLYHQ_TEST_DATABASE_URL: database, REPLYHQ_TEST_REDIS_URL: redis } = process.env;
  if (!database || !redis) throw new Error('nodes need a Postgres and a Redis: REPLYHQ_TEST_DATABASE_URL and REPLYHQ_TEST_REDIS_URL, as cargo xtask test has them');
  const nodes = [];
  // One after the other: the first brings the tables up to date.
  for (let index = 0; index < 2; index += 1) nodes.push(await Server.start(t, [...flags, '--redis-url', redis], database));
  const balancer = await Balancer.start(t, nodes);
  return { nodes, balancer };
}

/** Hands each connection to a node that lives, in turn or to one alone. */
export class Balancer {
  static async start(t, nodes) {
    const balancer = new Balancer();
    balancer.nodes = nodes;
    balancer.sockets = new Set();
    balancer.next = 0;
    balancer.isCut = false;
    balancer.listener = createServer((client) => balancer.#pass(client));
    balancer.listener.listen(0, '127.0.0.1');
    await once(balancer.listener, 'listening');
    balancer.url = `http://127.0.0.1:${balancer.listener.address().port}`;
    atEnd(t, () => {
      balancer.cut();
      balancer.listener.close();
    });
    return balancer;
  }

  /** All that goes through it ends, and nothing gets through until it is mended. */
  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend() {
    this.isCut = false;
  }

  #pass(client) {
    if (this.isCut) return void client.destroy();
    const alive = this.nodes.filter((node) => node.process.exitCode === null && node.process.signalCode === null);
    if (alive.length === 0) return void client.destroy();
    const node = alive[this.next++ % alive.length];
    const server = createConnection(node.port, '127.0.0.1');
    for (const [one, other] of [[client, server], [server, client]]) {
      this.sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}

export class Server {
  static async start(t, flags = [], databaseUrl = undefined) {
    const server = new Server();
    server.flags = flags;
    server.folder = await mkdtemp(join(tmpdir(), 'replyhq-web-'));
    server.data = databaseUrl ? ['--database-url', databaseUrl] : ['--data-dir', server.folder];
    server.port = await freePort();
    atEnd(t, () => server.discard());
    await server.startAgain();
    return server;
  }

  /** Starts on the same port and data. `printed` is all that it says. To it, now may be some minutes ago. */
  async startAgain({ minutesAgo = 0 } = {}) {
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, ...this.data, '--log-level', 'warn', ...this.flags];
    const past = minutesAgo > 0 ? { LD_PRELOAD: await faketime(), FAKETIME: `-${minutesAgo}m`, FAKETIME_DONT_FAKE_MONOTONIC: '1' } : {};
    this.process = spawn(BINARY, args, { env: { ...process.env, ...past }, stdio: ['ignore', 'pipe', 'inherit'] });
    this.exit = once(this.process, 'exit');
    this.printed = '';
    await new Promise((resolve, reject) => {
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        this.printed += `${line}\n`;
        if (line.startsWith('replyhq is ready on ')) resolve();
      });
      this.exit.then(([code]) => reject(new Error(`the server ended with ${code} before it was ready`)));
    });
    this.url = `http://127.0.0.1:${this.port}`;
  }

  async kill(signal = 'SIGKILL') {
    this.process.kill(signal);
    await this.exit;
  }

  async discard() {
    this.process.kill('SIGKILL');
    await this.exit;
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Runs `replyhq …` on the server's data and returns the JSON that it prints. */
  async command(...args) {
    const { stdout } = await promisify(execFile)(BINARY, [...args, '--json', ...this.data]);
    return JSON.parse(stdout);
  }

  /** An app with an agent who has a password. */
  async shop() {
    const app = await this.command('app', 'create', 'Harbour Bikes');
    const ada = await this.invite(app, 'Ada Lindqvist', 'ada@example.com', 'admin');
    return { ...app, ada };
  }

  async invite({ app_id }, name, email, role) {
    const { code } = await this.command('agent', 'invite', '--app', app_id, '--name', name, '--email', email, '--role', role);
    return { code, link: this.linkOf(code), email, name };
  }

  /** The command does not know where this server is reached. */
  linkOf = (code) => `${this.url}/dashboard#code=${code}`;

  /** Takes an invitation as another browser would; returns the session. */
  accept = ({ code }) => this.ask('POST', '/v1/auth/code', { code, password: PASSWORD });

  async ask(method, path, body, headers = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }
}

/** Somebody with a device. */
export class Visitor {
  constructor(server, { app_id, api_key }, id, user, device_context) {
    Object.assign(this, { server, id, user, device_context, count: 0 });
    this.headers = { 'x-app-id': app_id, 'x-device-id': `device-${id}`, 'x-api-key': api_key };
  }

  async open() {
    const body = { ...(this.user ? { user: this.user } : {}), ...(this.device_context ? { device_context: this.device_context } : {}) };
    const { conversation } = await this.ask('POST', '/v1/conversations', body);
    this.conversation = conversation.id;
    return this;
  }

  async say(body) {
    const local_id = `${this.id}-${++this.count}`;
    const { message } = await this.ask('POST', `/v1/conversations/${this.conversation}/messages`, { local_id, body });
    return message;
  }

  async messages() {
    return (await this.ask('GET', `/v1/conversations/${this.conversation}/messages?limit=200`)).messages;
  }

  read = (message) => this.ask('POST', `/v1/conversations/${this.conversation}/messages/read`, { up_to_message_id: message.id });
  delivered = (message) => this.ask('POST', `/v1/conversations/${this.conversation}/messages/delivered`, { up_to_message_id: message.id });

  ask = (method, path, body) => this.server.ask(method, path, body, this.headers);

  /** Comes online, with the stock client. */
  async connect(t) {
    const auth = { app_id: this.headers['x-app-id'], device_id: this.headers['x-device-id'], api_key: this.headers['x-api-key'] };
    const socket = io(`${this.server.url}/client`, { path: '/v1/socket.io', transports: ['websocket'], auth, forceNew: true });
    atEnd(t, () => socket.disconnect());
    await new Promise((resolve, reject) => socket.on('connected', resolve).on('connect_error', reject));
    this.socket = socket;
    return socket;
  }

  types = (goesOn) => this.socket.emit(goesOn ? 'typing:start' : 'typing:stop', { conversation_id: this.conversation });
}

/** A way to the server that can be made to swallow everything: as a laptop's after a sleep, whose socket looks open. */
export class Tunnel {
  static async to(t, server) {
    const tunnel = new Tunnel();
    tunnel.pairs = new Set();
    const listener = createServer((near) => {
      const far = createConnection(server.port, '127.0.0.1');
      const pair = [near, far];
      tunnel.pairs.add(pair);
      for (const [one, other] of [pair, [far, near]]) {
        one.on('data', (bytes) => {
          if (one === near && bytes.includes('Upgrade: websocket')) pair.isSocket = true;
          if (!pair.isDead) other.write(bytes);
        });
        one.on('error', () => {}).on('close', () => {
          tunnel.pairs.delete(pair);
          other.destroy();
        });
      }
    }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    tunnel.url = `http://127.0.0.1:${listener.address().port}`;
    atEnd(t, () => {
      for (const [near] of tunnel.pairs) near.destroy();
      listener.close();
    });
    return tunnel;
  }

  /** Sockets that are open now say and hear nothing any more, and nobody is told. Chromium itself ends idle connections of
   * the other kind when the machine goes to sleep. */
  swallow() {
    for (const pair of this.pairs) {
      if (pair.isSocket) pair.isDead = true;
      else pair[0].destroy();
    }
  }
}

/** The library by which a program takes another time for now. */
async function faketime() {
  for (const folder of await readdir('/usr/lib')) {
    const file = `/usr/lib/${folder}/faketime/libfaketimeMT.so.1`;
    if (await access(file).then(() => true, () => false)) return file;
  }
  throw new Error('faketime is not installed: apt-get install faketime');
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
