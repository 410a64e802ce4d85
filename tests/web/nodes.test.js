// Two nodes behind a balancer, that are killed, leave, and are cut off: the pages go on, without a reload.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person, eventually } from './browser.js';
import { Visitor, startNodes } from './server.js';

/** What is right after a connection is there again is right within this. */
const RIGHT_MS = 2_000;

async function shop(t) {
  const { nodes, balancer } = await startNodes(t, ['--rate-limit-device', '0', '--reconnect-spread', '500ms']);
  const app = await nodes[0].shop();
  const ada = await nodes[0].accept(app.ada);
  const ben = await nodes[0].accept(await nodes[0].invite(app, 'Ben Okafor', 'ben@example.com', 'agent'));
  // They write on the second node, which stays.
  const leila = await new Visitor(nodes[1], app, 'leila', { id: 'usr_leila', name: 'Leila Haddad' }).open();
  await leila.say('My charger blinks red');
  const arrive = async (session, url) => {
    const person = await Person.arrive(t, url, { mayFail: true });
    await person.isSignedIn(session);
    return person;
  };
  return { nodes, balancer, app, ada, ben, leila, arrive };
}

const bodies = (person) => person.log().locator('.bubble').allTextContents();
const banner = (person) => person.page.getByText(/No connection since/);

test('a node that is killed is left for another: nothing is lost, doubled, or out of order', async (t) => {
  const { nodes, balancer, ada, leila, arrive } = await shop(t);
  // All go to the first one, until it is not there.
  balancer.nodes = [nodes[0]];
  const page = await arrive(ada, balancer.url);
  await page.go(`/dashboard/all/${leila.conversation}`);
  await page.log().getByText('My charger blinks red').waitFor();
  await page.answers('Which charger is it?');
  await eventually(async () => (await leila.messages()).length === 2, 'it is stored');
  await page.field('Message').fill('I am not done wri');
  balancer.nodes = nodes;
  await nodes[0].kill();
  for (const number of [1, 2, 3, 4, 5]) await leila.say(`Line ${number}`);
  const expected = ['My charger blinks red', 'Which charger is it?', ...[1, 2, 3, 4, 5].map((number) => `Line ${number}`)];
  await eventually(async () => `${await bodies(page)}` === `${expected}`, 'all of it is there, once and in order');
  assert.equal(await page.field('Message').inputValue(), 'I am not done wri');
  // What is written into the gap of the next cut comes once.
  balancer.cut();
  await page.answers('Sent into the dark');
  await page.log().getByText('Waiting for the connection').waitFor();
  balancer.mend();
  await page.log().getByText('Waiting for the connection').waitFor({ state: 'detached' });
  await eventually(async () => (await leila.messages()).filter(({ body }) => body === 'Sent into the dark').length === 1, 'it is stored once');
  await leila.say('Got it');
  await eventually(async () => `${(await bodies(page)).slice(-2)}` === 'Sent into the dark,Got it', 'and shown once');
});

test('who looks on a node that dies is gone within ten seconds, and who is on the other goes on', async (t) => {
  const { nodes, ada, ben, leila, arrive } = await shop(t);
  const [page, other] = [await arrive(ada, nodes[1].url), await arrive(ben, nodes[0].url)];
  await page.go(`/dashboard/all/${leila.conversation}`);
  await page.log().getByText('My charger blinks red').waitFor();
  await other.go(`/dashboard/all/${leila.conversation}`);
  await other.page.bringToFront();
  const looks = page.page.getByRole('img', { name: 'Ben Okafor also here' });
  await looks.waitFor();
  await nodes[0].kill();
  const since = Date.now();
  await looks.waitFor({ state: 'detached' });
  assert.ok(Date.now() - since < 10_000, `${Date.now() - since} ms`);
  await leila.say('Hello?');
  await page.log().getByText('Hello?').waitFor();
});

test('a deployment is followed at once, and what a cut has missed is made good within two seconds', async (t) => {
  const { nodes, balancer, ada, leila, arrive } = await shop(t);
  balancer.nodes = [nodes[0]];
  const page = await arrive(ada, balancer.url);
  await page.go(`/dashboard/all/${leila.conversation}`);
  await page.log().getByText('My charger blinks red').waitFor();
  balancer.nodes = nodes;
  // It says that it leaves, and waits for nobody who has heard it.
  await nodes[0].kill('SIGTERM');
  await leila.say('Are you there?');
  await page.log().getByText('Are you there?').waitFor();
  assert.equal(await banner(page).count(), 0, 'that is worth no banner');
  balancer.cut();
  await banner(page).waitFor();
  for (let number = 1; number <= 30; number += 1) await leila.say(`Missed ${number}`);
  balancer.mend();
  await page.button('Try now').click();
  const since = Date.now();
  await page.log().getByText('Missed 30', { exact: true }).waitFor();
  await banner(page).waitFor({ state: 'detached' });
  assert.ok(Date.now() - since < RIGHT_MS, `${Date.now() - since} ms`);
  const missed = (await bodies(page)).filter((body) => body.startsWith('Missed'));
  assert.deepEqual(missed, Array.from({ length: 30 }, (_, index) => `Missed ${index + 1}`));
  await page.row('Leila Haddad').getByText('Missed 30').waitFor();
});
