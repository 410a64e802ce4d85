// What the team looks for: in the list's place, by the keyboard, and what was found beside it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PHONE, Person, eventually } from './browser.js';
import { Server, Visitor } from './server.js';

async function shop(t) {
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const people = {};
  for (const [id, name, ...said] of [
    ['leila', 'Leila Haddad', 'The light on the charger is red', '充电器是红色的'],
    ['joao', 'João Café', 'O meu carregador está vermelho'],
    ['obi', 'Chukwuemeka Obi', 'A red blink code on the charger, 4 short, 1 long'],
  ]) {
    people[id] = await new Visitor(server, app, id, { id: `usr_${id}`, name, email: `${id}@post.example.org` }).open();
    for (const text of said) await people[id].say(text);
  }
  const arrive = async (options) => {
    const ada = await Person.arrive(t, server.url, options);
    await ada.isSignedIn(session);
    return ada;
  };
  return { server, session, ...people, arrive };
}

const field = (person) => person.page.getByRole('searchbox', { name: 'Search conversations' });
const hits = (person) => person.page.getByRole('list', { name: 'Search results' }).getByRole('link');
const names = (person) => person.page.locator('.hit .row-name').allTextContents();
const finds = (person, text, expected) =>
  eventually(async () => {
    // What was sent a moment ago is found within two seconds.
    await field(person).fill('');
    await field(person).fill(text);
    // Until there is an answer, what was found before stands there.
    const isFound = async () => `${await names(person)}` === `${expected}`;
    return eventually(isFound, 'the answer', 2_000).then(() => true, () => false);
  }, `${text} finds ${expected}`);

test('messages and people are found in any script, and opened by the keyboard', async (t) => {
  const { server, session, leila, arrive } = await shop(t);
  const ada = await arrive();
  await ada.go('/dashboard');
  await ada.row('Leila Haddad').waitFor();
  await ada.page.keyboard.press('s');
  await field(ada).waitFor();
  assert.ok(await field(ada).evaluate((input) => input === document.activeElement));
  await finds(ada, 'red charg', ['Chukwuemeka Obi', 'Leila Haddad']);
  assert.deepEqual(await hits(ada).last().locator('mark').allTextContents(), ['charg', 'red']);
  await ada.shows('search');
  await finds(ada, '充电', ['Leila Haddad']);
  await finds(ada, 'joao cafe', ['João Café']);
  await finds(ada, 'post.example', ['Chukwuemeka Obi', 'João Café', 'Leila Haddad']);
  await field(ada).fill('nothing like this');
  await ada.sees('Nothing found for ‘nothing like this’. Check the spelling, or look in all.');
  // Down into what was found, and open it; the search stays beside it.
  await finds(ada, 'red', ['Chukwuemeka Obi', 'Leila Haddad']);
  await field(ada).press('ArrowDown');
  await ada.page.keyboard.press('ArrowDown');
  await ada.page.keyboard.press('Enter');
  await ada.log().getByText('The light on the charger is red').waitFor();
  await ada.page.waitForURL(new RegExp(leila.conversation));
  assert.equal(await hits(ada).count(), 2);
  await ada.shows('search-open');
  // Only what is done with.
  await server.ask('PATCH', `/v1/admin/conversations/${leila.conversation}`, { status: 'resolved' }, { authorization: `Bearer ${session.admin_token}` });
  await ada.button('Resolved').last().click();
  await eventually(async () => `${await names(ada)}` === 'Leila Haddad', 'the resolved one alone');
  await field(ada).press('Escape');
  await ada.row('Chukwuemeka Obi').waitFor();
});

test('on a phone the search is a page', async (t) => {
  const { arrive } = await shop(t);
  const ada = await arrive({ size: PHONE, dark: true });
  await ada.go('/dashboard');
  await ada.page.getByRole('navigation', { name: 'Main' }).getByRole('button', { name: 'Search' }).click();
  await finds(ada, 'charger', ['Chukwuemeka Obi', 'Leila Haddad']);
  await ada.shows('search-phone');
  await hits(ada).first().click();
  await ada.log().getByText('A red blink code').waitFor();
  await ada.page.goBack();
  await hits(ada).first().waitFor();
});

test('a note is found as what it is, with the time when it was written', async (t) => {
  const { server, session, joao, arrive } = await shop(t);
  const note = { local_id: 'n1', body: 'Offered him a discount' };
  const as = { authorization: `Bearer ${session.admin_token}` };
  const { activity } = await server.ask('POST', `/v1/admin/conversations/${joao.conversation}/notes`, note, as);
  await joao.say('E então?');
  const ada = await arrive();
  await ada.go('/dashboard');
  await ada.row('João Café').waitFor();
  await ada.page.keyboard.press('s');
  await finds(ada, 'discount', ['João Café']);
  assert.equal(await ada.page.locator('.hit .note-word').textContent(), 'Note');
  assert.equal(await hits(ada).locator('time').getAttribute('datetime'), activity.at);
  await ada.shows('search-note');
});
