import { createAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { Authenticator } from './auth.js';
import { Chat } from './chat.js';
import { Database } from './db.js';
import { Presence } from './presence.js';
import { createHttp, wireRest } from './rest.js';
import { wireSockets } from './sockets.js';

const RECONNECT_SPREAD_MS = 5_000;

/** Starts the server; the returned function stops it politely. */
export async function serve(config) {
  const db = new Database(config.databaseUrl, config.poolSize);
  await db.migrate();

  const redis = new Redis(config.redisUrl, { enableAutoPipelining: true });
  const subscriber = new Redis(config.redisUrl);
  for (const client of [redis, subscriber]) client.on('error', (error) => console.error('redis:', error.message));
  const presence = new Presence(redis);
  await presence.start();

  const http = createHttp();
  const io = new Server(http.server, {
    path: '/v1/socket.io',
    transports: ['websocket'],
    serveClient: false,
    pingInterval: 25_000,
    pingTimeout: 60_000,
    connectTimeout: 10_000,
    maxHttpBufferSize: 65_536,
    perMessageDeflate: false,
    adapter: createAdapter(redis, subscriber),
  });
  const auth = new Authenticator(db);
  const chat = new Chat(db, io);
  wireRest(http, { db, auth, chat });
  wireSockets(io, { db, auth, presence, chat });

  await http.listen({ host: config.host, port: config.port });
  const { port } = http.server.address();
  console.log(`listening on http://${config.host}:${port}`);

  return async function stop() {
    for (const namespace of ['/client', '/admin']) {
      for (const socket of io.of(namespace).sockets.values()) {
        const delay = Math.floor(Math.random() * RECONNECT_SPREAD_MS);
        socket.emit('server:shutdown', { message: 'the server is going away', reconnect_delay_ms: delay });
      }
    }
    await Promise.race([io.close(), new Promise((resolve) => setTimeout(resolve, 5_000))]);
    await http.close();
    await presence.stop();
    await db.close();
    redis.disconnect();
    subscriber.disconnect();
  };
}
