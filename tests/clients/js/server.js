// A server of the test's own: the real binary, in a folder that is thrown away.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { patiently } from './patience.js';

const BINARY = process.env.REPLYHQ_BINARY ?? fileURLToPath(new URL('../../../target/debug/replyhq', import.meta.url));
const READY = 'replyhq is ready on ';

// The suite runs on SQLite, in a folder of each test's own, and on a Postgres and a Redis that all tests share.
const { REPLYHQ_TEST_DATABASE_URL: DATABASE_URL, REPLYHQ_TEST_REDIS_URL: REDIS_URL } = process.env;

export class Server {
  /** Starts a server for one test, on a free port that it keeps over restarts. */
  static async start(t, flags = [], databaseUrl = DATABASE_URL) {
    const server = new Server();
    server.flags = flags;
    server.folder = await mkdtemp(join(tmpdir(), 'replyhq-js-'));
    server.database = databaseUrl ? ['--database-url', databaseUrl] : ['--data-dir', server.folder];
    server.port = await freePort();
    t.after(() => server.discard());
    await server.startAgain();
    return server;
  }

  /** Starts on the same port and data. `greeting` is what it printed before its ready line. */
  async startAgain() {
    const listen = `127.0.0.1:${this.port}`;
    const redis = REDIS_URL ? ['--redis-url', REDIS_URL] : [];
    const args = ['serve', '--listen', listen, ...this.database, ...redis, '--log-level', 'warn', ...this.flags];
    this.process = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.exit = once(this.process, 'exit').then(([code]) => code);
    const greeting = [];
    const ready = new Promise((resolve, reject) => {
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        if (line.startsWith(READY)) resolve(line.slice(READY.length));
        else greeting.push(line);
      });
      this.exit.then((code) => reject(new Error(`the server ended with ${code} before it was ready`)), reject);
    });
    this.url = await patiently('the ready line', ready);
    this.greeting = greeting.join('\n');
  }

  /** Sends SIGTERM. Returns the exit code. */
  async terminate() {
    this.process.kill('SIGTERM');
    return await patiently("the server's end", this.exit);
  }

  /** Runs `replyhq …` on the server's data and returns the JSON that it prints. */
  async command(...args) {
    const { stdout } = await promisify(execFile)(BINARY, [...args, '--json', ...this.database]);
    return JSON.parse(stdout);
  }

  /** A new app with an agent's token, made as an operator makes them. */
  async app() {
    const { app_id, api_key } = await this.command('app', 'create', 'Shop');
    const { admin_token } = await this.command('token', 'create', '--app', app_id, '--name', 'Ada');
    return { app_id, api_key, admin_token };
  }

  async discard() {
    this.process?.kill('SIGKILL');
    await this.exit;
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The way to the Postgres, which can be shut as if it were away. Where the suite runs on SQLite there is none. */
export class Gate {
  static isThere = Boolean(DATABASE_URL);

  static async before(t) {
    const gate = new Gate();
    const behind = new URL(DATABASE_URL);
    gate.connections = new Set();
    gate.isOpen = true;
    const listener = createServer((near) => {
      if (!gate.isOpen) return void near.destroy();
      const far = createConnection({ host: behind.hostname, port: Number(behind.port) });
      for (const [one, other] of [[near, far], [far, near]]) {
        gate.connections.add(one);
        one.on('error', () => {}).on('close', () => {
          gate.connections.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const here = new URL(DATABASE_URL);
    here.hostname = '127.0.0.1';
    here.port = String(listener.address().port);
    gate.url = here.href;
    t.after(() => {
      gate.shut();
      listener.close();
    });
    return gate;
  }

  shut() {
    this.isOpen = false;
    for (const connection of this.connections) connection.destroy();
  }

  open() {
    this.isOpen = true;
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
