// What programs show: tokens and the app's key, made and taken away in the settings.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PHONE, Person } from './browser.js';
import { Server } from './server.js';

async function shop(t, options) {
  const server = await Server.start(t);
  const app = await server.shop();
  const ada = await server.accept(app.ada);
  const page = await Person.arrive(t, server.url, options);
  await page.isSignedIn(ada);
  const status = async (token) => (await fetch(`${server.url}/v1/admin/conversations`, { headers: { authorization: `Bearer ${token}` } })).status;
  return { server, app, ada, page, status };
}

const line = (person, text) => person.page.getByRole('row').filter({ hasText: text });

test('a program gets a token, once, and loses it', async (t) => {
  const { page, status } = await shop(t);
  await page.go('/dashboard/settings/tokens');
  await page.page.getByRole('heading', { name: 'Tokens', level: 1 }).waitFor();
  await page.button('Make a token').click();
  const dialog = page.page.getByRole('dialog', { name: 'Make a token' });
  await dialog.getByRole('button', { name: 'Make it' }).click();
  await dialog.getByText('Fill this in.').waitFor();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Night bot');
  await dialog.getByRole('checkbox', { name: 'Answer and resolve' }).uncheck();
  await dialog.getByRole('checkbox', { name: 'Read conversations' }).uncheck();
  await dialog.getByRole('button', { name: 'Make it' }).click();
  await dialog.getByText('Choose what it may do.').waitFor();
  await dialog.getByRole('checkbox', { name: 'Read conversations' }).check();
  await dialog.getByRole('combobox', { name: 'Good until' }).selectOption({ label: 'No end' });
  await page.shows('settings-token-dialog');
  await dialog.getByRole('button', { name: 'Make it' }).click();
  const token = await page.page.getByRole('group', { name: 'Token' }).locator('code').textContent();
  assert.equal(await status(token), 200);
  await line(page, 'Night bot').getByText('Read conversations').waitFor();
  await line(page, 'Night bot').getByText('No end').waitFor();
  await page.shows('settings-tokens');
  await page.page.reload();
  await line(page, 'Night bot').waitFor();
  assert.equal(await page.page.getByText(token).count(), 0, 'it is shown once');
  await page.button('Revoke Night bot').click();
  await page.button('Revoke Night bot: sure?').click();
  await line(page, 'Night bot').waitFor({ state: 'detached' });
  assert.equal(await status(token), 401);
});

test("the app's key is changed, and the old one ends when it is told to", async (t) => {
  const { page, app, server } = await shop(t, { dark: true });
  const asks = (key) => fetch(`${server.url}/v1/conversations`, { headers: { 'x-app-id': app.app_id, 'x-device-id': 'phone', 'x-api-key': key } });
  await page.go('/dashboard/settings/app');
  await page.button('Make another key').click();
  await page.button('Make another key: sure?').click();
  const key = await page.page.getByRole('group', { name: 'New key' }).locator('code').textContent();
  await page.page.getByText(/The key before is good until/).waitFor();
  assert.deepEqual([(await asks(key)).status, (await asks(app.api_key)).status], [200, 200]);
  await page.shows('settings-app-key');
  await page.button('End the old key now').click();
  await page.button('Make another key').waitFor();
  assert.deepEqual([(await asks(key)).status, (await asks(app.api_key)).status], [200, 401]);
});

test('on a phone', async (t) => {
  const { page } = await shop(t, { size: PHONE });
  await page.go('/dashboard/settings/tokens');
  await page.button('Make a token').click();
  await page.page.getByRole('dialog', { name: 'Make a token' }).getByRole('textbox', { name: 'Name' }).fill('Export');
  await page.shows('settings-token-phone');
  await page.button('Make it').click();
  await line(page, 'Export').waitFor();
  await page.shows('settings-tokens-phone');
});
