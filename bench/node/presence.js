import { newId } from './ids.js';

const HEARTBEAT_MS = 2_000;
const NODE_LIFE_MS = 8_000;

// KEYS: sessions of the app, connections of the device, connections of this node.
// ARGV: connection id, session as JSON, the node's entry. Answers how many connections the device has now.
const REGISTER = `
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('SADD', KEYS[3], ARGV[3])
  return redis.call('SCARD', KEYS[2])
`;

const UNREGISTER = `
  if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return -1 end
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('SREM', KEYS[3], ARGV[2])
  return redis.call('SCARD', KEYS[2])
`;

/** Who is connected, on all nodes: kept in Redis, changed by atomic scripts. */
export class Presence {
  constructor(redis) {
    this.redis = redis;
    this.node = newId('node');
    redis.defineCommand('registerSession', { numberOfKeys: 3, lua: REGISTER });
    redis.defineCommand('unregisterSession', { numberOfKeys: 3, lua: UNREGISTER });
  }

  async start() {
    const beat = () => this.redis.set(`node:${this.node}`, '1', 'PX', NODE_LIFE_MS);
    await beat();
    this.timer = setInterval(() => beat().catch(() => {}), HEARTBEAT_MS);
  }

  async stop() {
    clearInterval(this.timer);
    await this.redis.del(`node:${this.node}`);
  }

  register(session) {
    return this.redis.registerSession(
      ...this.#keys(session), session.connection_id, JSON.stringify(session), this.#entry(session),
    );
  }

  /** How many connections the device has left, or -1 if this one was gone already. */
  unregister(session) {
    return this.redis.unregisterSession(...this.#keys(session), session.connection_id, this.#entry(session));
  }

  async list(appId) {
    return (await this.redis.hvals(`sessions:${appId}`)).map((session) => JSON.parse(session));
  }

  #keys({ app_id, device_id }) {
    return [`sessions:${app_id}`, `presence:${app_id}:${device_id}`, `node-sessions:${this.node}`];
  }

  #entry({ app_id, device_id, connection_id }) {
    return `${app_id} ${device_id} ${connection_id}`;
  }
}
