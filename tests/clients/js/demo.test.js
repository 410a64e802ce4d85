// The demo: what it prints can be pasted as it is.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { patiently } from './patience.js';
import { Server } from './server.js';

test("the demo's commands work as they are printed", async (t) => {
  const server = await Server.start(t, ['--demo']);
  const [listen] = server.greeting.match(/^node -e '[^']*'$/m) ?? [];
  const curls = server.greeting.match(/^curl (?:.*\\\n)*.*$/gm);
  assert.ok(listen, server.greeting);
  assert.equal(curls?.length, 2, server.greeting);

  // In this folder, where socket.io-client is installed as the text says. `exec` makes it one process to end.
  const listening = spawn('bash', ['-c', `exec ${listen}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => listening.kill());
  const lines = createInterface({ input: listening.stdout })[Symbol.asyncIterator]();
  const hears = async (what) => {
    for (;;) {
      const { value, done } = await patiently(what, lines.next());
      assert.ok(!done, `the agent ended before ${what}`);
      if (value.includes(what)) return value;
    }
  };
  await hears('Number 1042.');
  await hears('has_more: false');
  for (const [curl, body] of [[curls[0], 'Hello from curl'], [curls[1], 'On its way!']]) {
    const { stdout } = await promisify(execFile)('bash', ['-c', curl]);
    assert.equal(JSON.parse(stdout).message.body, body);
    assert.match(await hears(body), /^(message:new|conversation:updated) /);
  }
});
