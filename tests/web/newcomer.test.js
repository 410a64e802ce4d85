// Somebody who has just started the demo, and sees all of this for the first time: from the printed link to an answer that was
// answered, by what is on the screen alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person, eventually } from './browser.js';
import { Server } from './server.js';

test('who starts the demo answers somebody, and is answered, without being told how', async (t) => {
  const server = await Server.start(t, ['--demo']);
  const link = await eventually(() => /http\S+#code=\S+/.exec(server.printed)?.[0], 'the demo prints a link');
  const newcomer = await Person.arrive(t, server.url);
  const { page } = newcomer;
  await page.goto(link);

  // There is an inbox, and people come into it by themselves.
  await page.getByRole('heading', { name: 'All', exact: true }).waitFor();
  await page.evaluate(() => (globalThis.wasHere = true));
  const list = page.getByRole('list', { name: 'Conversations' });
  await list.getByRole('link', { name: /Leila Haddad.*online/ }).waitFor();
  await list.getByRole('link', { name: /Leila Haddad/ }).click();

  // One sees what she wrote, and that one can write.
  const messages = page.getByRole('log', { name: 'Messages' });
  await messages.getByText('Since the update my bike stops charging at 38 %.').waitFor();
  await messages.getByText('This is the page that the app opens:').waitFor();
  await page.getByPlaceholder(/^Write to Leila/).fill('Hello Leila! Which light is on at the charger?');
  await page.getByRole('button', { name: 'Send', exact: true }).click();

  // It is sent, she reads it and answers: nothing was loaded anew.
  await messages.getByText('Hello Leila! Which light is on at the charger?').waitFor();
  await messages.getByText(/^\s*Read/).waitFor();
  await messages.getByText('The light on the charger is red 🔴').waitFor();
  await newcomer.shows('newcomer-answered');

  // What else is on the screen works as it says: it is one's own now, has a note, is done, and can be had back.
  await page.getByRole('button', { name: /^Assignee:/ }).click();
  await page.getByRole('option', { name: /\(you\)/ }).click();
  await page.getByRole('button', { name: /^Assignee: You/ }).waitFor();
  await page.getByRole('button', { name: 'Note', exact: true }).click();
  await page.getByPlaceholder('Write for the team').fill('Red light: the battery, not the charger.');
  await page.getByRole('button', { name: 'Add note' }).click();
  await page.getByText('wrote a note. Only the team sees it.').waitFor();
  await page.getByRole('button', { name: 'Resolve', exact: true }).click();
  await page.getByRole('button', { name: 'Reopen', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  await page.getByRole('button', { name: 'Resolve', exact: true }).waitFor();
  assert.equal(await page.evaluate(() => globalThis.wasHere), true, 'the page is the same one');
});
