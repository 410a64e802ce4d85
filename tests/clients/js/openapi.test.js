// The OpenAPI document, as people use it: a client is generated from it, compiled, and run against the server.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Server } from './server.js';

const HERE = dirname(fileURLToPath(import.meta.url));

/** Runs a program of the installed packages. */
async function program(name, ...args) {
  try {
    await promisify(execFile)(join(HERE, 'node_modules/.bin', name), args, { cwd: HERE });
  } catch (error) {
    throw new Error(`${name} ${args.join(' ')}: ${error.stdout}${error.stderr}`);
  }
}

/** The flows, compiled against what is generated from the server's own document. */
async function generated(t, server) {
  // Below the packages, so that what is compiled finds them.
  const cache = join(HERE, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'openapi-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const document = await fetch(`${server.url}/openapi.json`);
  await writeFile(join(folder, 'openapi.json'), await document.text());
  await program('openapi-typescript', join(folder, 'openapi.json'), '-o', join(folder, 'schema.d.ts'));
  await copyFile(join(HERE, 'openapi/flows.ts'), join(folder, 'flows.ts'));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const strictly = ['--strict', '--noUncheckedIndexedAccess', '--target', 'es2022', '--lib', 'es2022,dom'];
  await program('tsc', ...strictly, '--module', 'nodenext', '--outDir', folder, join(folder, 'flows.ts'));
  return await import(pathToFileURL(join(folder, 'flows.js')));
}

test('a client that is generated from the document does what both sides do', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const { run } = await generated(t, server);
  assert.deepEqual(await run(server.url, app, 'phone'), [
    'stored 201, again 200',
    'conflict 409 LOCAL_ID_CONFLICT',
    'inbox 1, unread 1',
    'of ann on phone',
    'resolved',
    '2 agent hi',
    'sent,read',
    'own 1, more false',
    "nobody's 0",
    'sessions 0, nodes at least 1',
    'online false',
    'audit 403 FORBIDDEN',
    'unknown 404 CONVERSATION_NOT_FOUND',
  ]);
});

test('a device with a name that no header of fetch can carry is the same one on a socket and over REST', async (t) => {
  const server = await Server.start(t);
  const app = await server.app();
  const ask = async (device_id) => {
    const headers = { 'X-App-Id': app.app_id, 'X-Api-Key': app.api_key, 'X-Device-Id': device_id };
    const answer = await fetch(`${server.url}/v1/conversations`, { method: 'POST', headers });
    return { status: answer.status, ...(await answer.json()) };
  };
  for (const device_id of ['José', '李', 'a%41', "UTF-8''x", 'with space']) {
    const encoded = `UTF-8''${encodeURIComponent(device_id)}`;
    const { conversation } = await ask(encoded);
    assert.equal(conversation.device_id, device_id);
    const { device } = await import('./client.js');
    const client = await device(t, server, app, device_id);
    const joined = await client.expect('conversation:joined');
    assert.equal(joined.conversation_id, conversation.id);
  }
  // What is not encoded stays what it is.
  assert.equal((await ask('a%41')).conversation.device_id, 'a%41');
  const latin1 = await ask('José');
  assert.equal(latin1.status, 401);
  assert.equal(latin1.code, 'VALIDATION_ERROR');
  assert.match(latin1.message, /UTF-8''Jos%C3%A9/);
  await assert.rejects(ask('李'), TypeError);
});
