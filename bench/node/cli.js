#!/usr/bin/env node
import { readConfig } from './config.js';
import { Database } from './db.js';

const USAGE = `usage: node cli.js serve | app create NAME [--json] | token create --app APP --name NAME [--permission P]… [--json]
settings: --listen, --database-url, --redis-url, --pool-size (or LISTEN, DATABASE_URL, REDIS_URL, POOL_SIZE)`;

async function main() {
  const config = readConfig(process.argv.slice(2));
  const [noun, verb, name] = config.positionals;
  if (noun === 'serve') {
    const { serve } = await import('./server.js');
    const stop = await serve(config);
    for (const signal of ['SIGTERM', 'SIGINT']) {
      process.once(signal, () => stop().then(() => process.exit(0), (error) => fail(error.stack)));
    }
  } else if (noun === 'app' && verb === 'create' && name) {
    await withDatabase(config, (db) => db.createApp(name));
  } else if (noun === 'token' && verb === 'create' && config.app && config.name) {
    await withDatabase(config, (db) => db.createToken(config.app, config.name, config.permissions));
  } else {
    fail(USAGE, 2);
  }
}

async function withDatabase(config, work) {
  const db = new Database(config.databaseUrl, 1);
  try {
    await db.migrate();
    const made = await work(db);
    const lines = Object.entries(made).map(([key, value]) => `${key}: ${value}`);
    console.log(config.json ? JSON.stringify(made) : lines.join('\n'));
  } finally {
    await db.close();
  }
}

function fail(message, code = 1) {
  console.error(message);
  process.exit(code);
}

main().catch((error) => fail(error.stack));
