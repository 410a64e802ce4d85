import { parseArgs } from 'node:util';

/** Reads the settings: flag over environment over default. */
export function readConfig(argv) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      listen: { type: 'string', default: process.env.LISTEN ?? '127.0.0.1:3000' },
      'database-url': { type: 'string', default: process.env.DATABASE_URL ?? 'postgres://127.0.0.1/baseline' },
      'redis-url': { type: 'string', default: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' },
      'pool-size': { type: 'string', default: process.env.POOL_SIZE ?? '10' },
      json: { type: 'boolean', default: false },
      app: { type: 'string' },
      name: { type: 'string' },
      permission: { type: 'string', multiple: true, default: [] },
    },
  });
  const colon = values.listen.lastIndexOf(':');
  return {
    positionals,
    host: values.listen.slice(0, colon),
    port: Number(values.listen.slice(colon + 1)),
    databaseUrl: values['database-url'],
    redisUrl: values['redis-url'],
    poolSize: Number(values['pool-size']),
    json: values.json,
    app: values.app,
    name: values.name,
    permissions: values.permission,
  };
}
