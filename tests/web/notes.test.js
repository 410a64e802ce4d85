// What the team writes for itself, and what was done: where it happened, for all of the team, and for nobody else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PHONE, Person, eventually } from './browser.js';
import { Server, Visitor } from './server.js';

async function shop(t) {
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const sessions = {
    ada: await server.accept(app.ada),
    ben: await server.accept(await server.invite(app, 'Ben Okafor', 'ben@example.com', 'agent')),
  };
  const leila = await new Visitor(server, app, 'leila', { id: 'usr_1', name: 'Leila Haddad' }).open();
  await leila.say('Hello');
  const arrive = async (who, options = {}) => {
    const person = await Person.arrive(t, server.url, options);
    await person.isSignedIn(sessions[who]);
    return person;
  };
  return { server, app, sessions, leila, arrive };
}

const at = ({ conversation }) => `/dashboard/all/${conversation}`;

async function notes(person, text) {
  await person.button('Note').click();
  await person.field('Note').fill(text);
  await person.button('Add note').click();
}

test('a note is seen by the team at once, stands where it was written, and never comes to the person', async (t) => {
  const { leila, arrive } = await shop(t);
  await leila.connect(t);
  const heard = [];
  leila.socket.onAny((name, payload) => heard.push(JSON.stringify([name, payload])));
  const [ada, ben] = [await arrive('ada'), await arrive('ben')];
  for (const person of [ada, ben]) {
    await person.go(at(leila));
    await person.log().getByText('Hello', { exact: true }).waitFor();
  }
  await notes(ada, 'She has a discount');
  await ben.log().getByText('She has a discount').waitFor();
  await ben.log().getByText('Ada Lindqvist wrote a note. Only the team sees it.').waitFor();
  await ada.log().getByText('You wrote a note. Only the team sees it.').waitFor();
  await ada.button('Reply').click();
  await ada.answers('With your discount it is 40.');
  await ben.log().getByText('With your discount it is 40.').waitFor();
  await ben.page.keyboard.press('Escape');
  await ben.page.keyboard.press('m');
  await ada.log().getByText('Ben Okafor took this').waitFor();
  await ben.log().getByText('You took this').waitFor();
  const order = () => [...document.querySelectorAll('.msgs > li:not(.line)')].map((li) => (li.className.includes('note') ? 'note' : li.className.includes('activity') ? 'done' : 'said'));
  const expected = ['said', 'note', 'said', 'done'];
  for (const person of [ada, ben]) assert.deepEqual(await person.page.evaluate(order), expected);
  // Also after a reload, and for who comes later.
  await ada.page.reload();
  await ada.log().getByText('Ben Okafor took this').waitFor();
  assert.deepEqual(await ada.page.evaluate(order), expected);
  await ada.shows('note');
  await eventually(async () => (await leila.messages()).length === 2, 'the answer has come to her');
  assert.ok(!heard.join('\n').includes('discount": ') && !heard.some((text) => text.includes('She has a discount')));
  assert.ok(!heard.some((text) => text.includes('activity')));
  assert.deepEqual((await leila.messages()).map(({ seq }) => seq), [1, 2]);
});

test('what is begun as a note never becomes an answer', async (t) => {
  const { leila, arrive } = await shop(t);
  await leila.connect(t);
  const typing = [];
  leila.socket.on('agent:typing', ({ is_typing }) => typing.push(is_typing));
  const ada = await arrive('ada');
  await ada.go(at(leila));
  await ada.log().getByText('Hello', { exact: true }).waitFor();
  await ada.page.keyboard.press('n');
  await ada.field('Note').pressSequentially('She is a pain');
  await ada.button('Reply').click();
  assert.equal(await ada.field('Message').inputValue(), '');
  await ada.page.reload();
  // It comes up as an answer, and the note's draft is where it was.
  assert.equal(await ada.field('Message').inputValue(), '');
  await ada.button('Note').click();
  assert.equal(await ada.field('Note').inputValue(), 'She is a pain');
  await ada.field('Note').press('Control+Enter');
  await ada.log().getByText('She is a pain').waitFor();
  assert.equal(await ada.field('Note').inputValue(), '');
  await ada.button('Reply').click();
  await ada.field('Message').pressSequentially('Hi');
  await eventually(() => typing.length > 0, 'she sees that somebody types');
  assert.deepEqual(typing, [true], 'and did not while the note was written');
  assert.deepEqual((await leila.messages()).map(({ body }) => body), ['Hello']);
  const row = await (await fetch(`${ada.url}/v1/conversations`, { headers: leila.headers })).text();
  assert.ok(!row.includes('pain') && row.includes('"status":"open"'), 'a note resolves nothing');
});

test('notes that were written while the server was away are kept once and in order', async (t) => {
  const { server, leila, arrive } = await shop(t);
  const ada = await arrive('ada', { mayFail: true });
  await ada.go(at(leila));
  await notes(ada, 'first');
  await ada.log().getByText('first').waitFor();
  await server.kill();
  await ada.page.getByText('No connection since').waitFor();
  for (const text of ['second', 'third']) await notes(ada, text);
  await ada.button('Reply').click();
  await ada.answers('said meanwhile');
  await server.startAgain();
  const shown = () => [...document.querySelectorAll('.note:not(:has(.receipt)) .note-text')].map(({ textContent }) => textContent).join();
  await eventually(async () => (await ada.page.evaluate(shown)) === 'first,second,third', 'all notes are kept');
  await eventually(async () => (await leila.messages()).length === 2, 'the answer is stored');
  await ada.page.reload();
  await ada.log().getByText('third').waitFor();
  assert.equal(await ada.page.evaluate(shown), 'first,second,third');
});

for (const [name, options] of [['dark', { dark: true }], ['phone', { size: PHONE }]]) {
  test(`notes, ${name}`, async (t) => {
    const { leila, arrive } = await shop(t);
    const ada = await arrive('ada', options);
    await ada.go(at(leila));
    await notes(ada, 'E-417 with one cell 8° above the others: that is the sensor, not the pack. See https://example.com/e417');
    await ada.log().getByText('that is the sensor').waitFor();
    await ada.field('Note').fill('Another one');
    await ada.shows(`note-${name}`);
  });
}
