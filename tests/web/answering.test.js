// A day's work: people write, agents answer; what fails in between costs nobody a word.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PHONE, Person, eventually } from './browser.js';
import { Server, Tunnel, Visitor } from './server.js';

async function shop(t, options = {}) {
  // People write here faster than anybody does.
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const leila = await new Visitor(server, app, 'leila', { id: 'usr_1', name: 'Leila Haddad' }).open();
  await leila.say('Hello');
  const ben = await new Visitor(server, app, 'ben', { id: 'usr_2', name: 'Ben Ito' }).open();
  await ben.say('Is anybody there?');
  const arrive = async (more = {}) => {
    const ada = await Person.arrive(t, more.url ?? server.url, { ...options, ...more });
    await ada.isSignedIn(session);
    return ada;
  };
  return { server, app, session, leila, ben, arrive };
}

const at = ({ conversation }) => `/dashboard/all/${conversation}`;
const bodies = async (visitor) => (await visitor.messages()).map(({ body }) => body);

test('somebody writes and is answered while both look on', async (t) => {
  const { leila, arrive } = await shop(t);
  await leila.connect(t);
  const heard = [];
  leila.socket.on('agent:typing', ({ is_typing }) => heard.push(is_typing));
  const ada = await arrive();
  await ada.go('/dashboard');
  await ada.row(/Leila Haddad ?, online/).click();
  await ada.log().getByText('Hello', { exact: true }).waitFor();
  await leila.say('Where is my parcel?');
  await ada.log().getByText('Where is my parcel?').waitFor();
  leila.types(true);
  await ada.sees('Leila is writing');
  leila.types(false);
  await ada.page.getByText('Leila is writing').waitFor({ state: 'detached' });
  await ada.field('Message').pressSequentially('On its');
  await eventually(() => heard.includes(true), 'the visitor sees that somebody types');
  await ada.answers('On its way!');
  await ada.page.getByText('Sent', { exact: true }).waitFor();
  const answer = await eventually(async () => (await leila.messages()).find(({ sender }) => sender === 'agent'), 'the answer');
  assert.equal(answer.body, 'On its way!');
  await leila.delivered(answer);
  await ada.sees('Delivered');
  await leila.read(answer);
  await ada.page.locator('.receipt.read').getByText('Read').waitFor();
  // Nobody else has anything left to read of hers.
  await ada.until(() => document.title.startsWith('(1)'));
  await eventually(() => heard.at(-1) === false, 'the typing ends');
});

test('a server that is killed and comes back loses nothing and doubles nothing', async (t) => {
  const { server, leila, arrive } = await shop(t, { mayFail: true });
  const ada = await arrive();
  await ada.go(at(leila));
  await ada.answers('1');
  await server.kill();
  await ada.page.getByText('No connection since').waitFor();
  for (const text of ['2', '3', '4']) await ada.answers(text);
  // The first one may have been on its way.
  assert.ok((await ada.page.getByText('Waiting for the connection').count()) >= 3);
  await ada.page.reload().catch(() => {});
  // The browser's own page for that comes a moment later, and would take the place of the next one.
  await ada.page.waitForURL(({ protocol }) => protocol === 'chrome-error:', { waitUntil: 'commit' });
  await server.startAgain();
  await ada.go(at(leila));
  await ada.until(() => document.querySelectorAll('.group.us .bubble').length === 4);
  await ada.answers('5');
  await eventually(async () => (await bodies(leila)).length === 6, 'all are stored');
  assert.deepEqual(await bodies(leila), ['Hello', '1', '2', '3', '4', '5']);
  await ada.until(() => [...document.querySelectorAll('.group.us .bubble')].map(({ textContent }) => textContent).join('') === '12345');
});

test('a server that leaves politely is found again', async (t) => {
  const { server, leila, arrive } = await shop(t, { mayFail: true });
  const ada = await arrive();
  await ada.go(at(leila));
  await ada.log().getByText('Hello').waitFor();
  await server.kill('SIGTERM');
  await server.startAgain();
  await leila.say('Still there?');
  await ada.log().getByText('Still there?').waitFor();
  await ada.page.getByText('No connection since').waitFor({ state: 'detached' });
});

test('right within two seconds of waking from a sleep of ten minutes', async (t) => {
  const { server, leila, ben, app, arrive } = await shop(t, { mayFail: true });
  const tunnel = await Tunnel.to(t, server);
  const ada = await arrive({ url: tunnel.url });
  await ada.page.clock.install();
  await ada.go(at(leila));
  await ada.log().getByText('Hello').waitFor();
  tunnel.swallow();
  for (let count = 1; count <= 7; count++) await leila.say(`while you slept ${count}`);
  for (let count = 1; count <= 7; count++) await ben.say(`and I ${count}`);
  await (await new Visitor(server, app, 'new', { id: 'usr_3', name: 'Somebody New' }).open()).say('Hi');
  const started = Date.now();
  await ada.page.clock.fastForward('10:00');
  await ada.log().getByText('while you slept 7').waitFor();
  await ada.row('Somebody New').waitFor();
  await ada.row('Ben Ito').getByText('and I 7').waitFor();
  const took = Date.now() - started;
  assert.ok(took < 2_000, `it took ${took} ms`);
  assert.equal(await ada.log().getByText('while you slept').count(), 7);
});

test('a connection that is dead without a word is noticed when the page comes into sight', async (t) => {
  const { server, leila, arrive } = await shop(t, { mayFail: true });
  const tunnel = await Tunnel.to(t, server);
  const ada = await arrive({ url: tunnel.url });
  await ada.go(at(leila));
  await ada.log().getByText('Hello').waitFor();
  tunnel.swallow();
  await leila.say('Unheard');
  await ada.page.evaluate(() => dispatchEvent(new Event('online')));
  await ada.log().getByText('Unheard').waitFor();
});

test('drafts stay with their conversation, and back is back', async (t) => {
  const { leila, ben, arrive } = await shop(t);
  const ada = await arrive();
  await ada.go('/dashboard');
  await ada.row('Leila Haddad').click();
  await ada.field('Message').fill('for Leila');
  await ada.row('Ben Ito').click();
  await ada.page.getByRole('main', { name: 'Conversation with Ben Ito' }).waitFor();
  assert.equal(await ada.field('Message').inputValue(), '');
  await ada.field('Message').fill('for Ben');
  await ada.row('Leila Haddad').getByText('Draft:').waitFor();
  await ada.page.goBack();
  await ada.page.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
  assert.equal(await ada.field('Message').inputValue(), 'for Leila');
  await ada.page.reload();
  await ada.page.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
  assert.equal(await ada.field('Message').inputValue(), 'for Leila');
  await ada.field('Message').press('Enter');
  await eventually(async () => (await bodies(leila)).includes('for Leila'), 'it is sent');
  assert.deepEqual(await bodies(ben), ['Is anybody there?']);
  await ada.page.goBack();
  await ada.page.getByRole('main', { name: 'No conversation' }).waitFor();
  // In a tab of its own, with everything.
  const [other] = await Promise.all([ada.context.waitForEvent('page'), ada.row('Ben Ito').click({ modifiers: ['Control'] })]);
  await other.getByRole('main', { name: 'Conversation with Ben Ito' }).waitFor();
  assert.equal(await other.getByRole('textbox', { name: 'Message' }).inputValue(), 'for Ben');
  await ada.page.getByRole('main', { name: 'No conversation' }).waitFor();
});

test('letters stay letters, lines are lines, and what is too long says by how much', async (t) => {
  const { leila, arrive } = await shop(t);
  const ada = await arrive();
  await ada.go(at(leila));
  const field = ada.field('Message');
  await field.fill('にほん');
  for (const composing of [{ isComposing: true }, { keyCode: 229 }]) {
    await field.evaluate((element, init) => element.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...init })), composing);
  }
  assert.equal(await field.inputValue(), 'にほん');
  await field.press('Shift+Enter');
  await field.pressSequentially('e r j k u');
  assert.equal(await field.inputValue(), 'にほん\ne r j k u');
  await field.press('Enter');
  await eventually(async () => (await bodies(leila)).includes('にほん\ne r j k u'), 'it is sent');
  await field.fill('😀'.repeat(5003));
  await ada.page.getByText('Longer than 5,000 characters. Shorten it by 3.').waitFor();
  await field.press('Enter');
  assert.equal([...(await field.inputValue())].length, 5003);
  await field.fill('😀'.repeat(5000));
  await field.press('Enter');
  await eventually(async () => (await bodies(leila)).at(-1)?.length === 10_000, 'as many as the server takes');
});

test('hostile text is text', async (t) => {
  const { leila, arrive } = await shop(t);
  const hostile = [
    '<img src=x onerror="document.title=1"><script>document.title=2</script>',
    'javascript:alert(1) https://bank.example@evil.example/ data:text/html,x',
    '\u202Egnp.exe\u202C {{constructor.constructor("return 1")()}} ${1+1}',
    'x'.repeat(5000),
    '😀'.repeat(3000),
    'https://a.example/x_y_z(1)?q="><b>',
  ];
  for (const text of hostile) await leila.say(text);
  for (const size of [undefined, PHONE]) {
    const ada = await arrive(size ? { size } : {});
    await ada.go(at(leila));
    await ada.log().getByText('<img src=x onerror').waitFor();
    const shown = await ada.page.evaluate(() => [...document.querySelectorAll('.bubble')].map(({ textContent }) => textContent));
    assert.deepEqual(shown, ['Hello', ...hostile]);
    assert.deepEqual(await ada.page.evaluate(() => [...document.querySelectorAll('.bubble a')].map(({ href, rel, target }) => [href, rel, target])), [
      ['https://a.example/x_y_z(1)?q=', 'noopener noreferrer nofollow', '_blank'],
    ]);
    const overflow = await ada.page.evaluate(() => {
      const log = document.querySelector('.log');
      return [document.documentElement.scrollWidth - innerWidth, log.scrollWidth - log.clientWidth];
    });
    assert.ok(overflow.every((pixels) => pixels <= 0), `${overflow}`);
    await ada.shows(`hostile-${size ? 'phone' : 'desk'}`);
  }
});

test('history grows at both ends, and the line under the eye stays', async (t) => {
  const { server, session, leila, arrive } = await shop(t);
  const headers = { authorization: `Bearer ${session.admin_token}` };
  for (let count = 1; count <= 130; count++) {
    await server.ask('POST', `/v1/admin/conversations/${leila.conversation}/messages`, { local_id: `h${count}`, body: `line ${count}` }, headers);
  }
  const ada = await arrive();
  await ada.go(at(leila));
  await ada.log().getByText('line 130', { exact: true }).waitFor();
  assert.equal(await ada.log().getByText('line 80', { exact: true }).count(), 0);
  const kept = await ada.page.evaluate(async () => {
    const log = document.querySelector('.log');
    const find = (text) => [...document.querySelectorAll('.bubble')].find(({ textContent }) => textContent === text);
    log.scrollTop = 300;
    const line = find('line 90');
    const before = line.getBoundingClientRect().top;
    await new Promise((done) => {
      new MutationObserver((_, observer) => find('line 40') && (observer.disconnect(), requestAnimationFrame(done))).observe(log, { childList: true, subtree: true });
    });
    return [before, find('line 90').getBoundingClientRect().top];
  });
  assert.ok(Math.abs(kept[0] - kept[1]) < 2, `${kept}`);
  await leila.say('and now?');
  await ada.button('1 new message').click();
  await ada.log().getByText('and now?').waitFor();
  await ada.page.getByRole('button', { name: '1 new message' }).waitFor({ state: 'detached' });
});

test('done with one, on to the next; undone; opened again by a new word', async (t) => {
  const { leila, ben, arrive } = await shop(t);
  const ada = await arrive();
  await ada.go('/dashboard');
  await ada.row('Ben Ito').click();
  await ada.button('Resolve').waitFor();
  await ada.page.locator('body').press('e');
  await ada.page.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
  await ada.page.getByText('Resolved: Ben Ito').waitFor();
  await ada.button('Undo').click();
  await ada.page.getByRole('main', { name: 'Conversation with Ben Ito' }).waitFor();
  await ada.button('Resolve').click();
  await ada.button('Reopen').waitFor();
  await ada.page.getByRole('link', { name: 'Resolved', exact: true }).click();
  await ada.row('Ben Ito').waitFor();
  await ben.say('One more thing');
  await ada.page.getByRole('link', { name: /^All/ }).click();
  await ada.row('Ben Ito').getByText('One more thing').waitFor();
  await ada.row('Leila Haddad').click();
  await ada.field('Message').fill('Bye');
  await ada.button('More ways to send').click();
  await ada.page.getByRole('menuitem', { name: 'Send and resolve' }).click();
  await eventually(async () => (await bodies(leila)).at(-1) === 'Bye', 'it is sent');
  await ada.row('Leila Haddad').waitFor({ state: 'detached' });
});

test('who is blocked can write no more, until they are let in again', async (t) => {
  const { leila, arrive } = await shop(t);
  const ada = await arrive();
  await ada.go(at(leila));
  await ada.button('Block this device').click();
  await ada.sees('Blocked: can neither connect nor write.');
  await assert.rejects(leila.say('Hm'), /BLOCKED/);
  await ada.button('Unblock this device').click();
  await ada.page.getByText('Blocked: can neither connect nor write.').waitFor({ state: 'detached' });
  await leila.say('Thank you');
  await ada.log().getByText('Thank you').waitFor();
});

test('a conversation that is not there says so', async (t) => {
  const { arrive } = await shop(t);
  const ada = await arrive();
  await ada.go('/dashboard/all/conv_nowhere');
  await ada.sees('This conversation is not there');
  await ada.shows('conversation-missing');
});

test('a new version of the page is told, and comes when the agent lets it', async (t) => {
  const { server, leila, arrive } = await shop(t, { mayFail: true });
  const ada = await arrive();
  await ada.go(at(leila));
  await ada.field('Message').fill('Half a sentence');
  await ada.page.route('**/dashboard', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><script src="/dashboard/assets/index-other.js"></script>' }));
  await server.kill();
  await server.startAgain();
  await ada.sees('There is a new version of this page.');
  assert.equal(await ada.field('Message').inputValue(), 'Half a sentence');
  await ada.shows('new-version');
  await ada.button('Reload').click();
  await ada.field('Message').waitFor();
  assert.equal(await ada.field('Message').inputValue(), 'Half a sentence');
});

test('a long list is as light as a short one', async (t) => {
  const { server, app, arrive } = await shop(t);
  for (let count = 0; count < 250; count++) {
    const visitor = await new Visitor(server, app, `v${count}`, { id: `many_${count}`, name: `Visitor ${count}` }).open();
    await visitor.say(`I am ${count}`);
  }
  const ada = await arrive();
  await ada.go('/dashboard');
  await ada.row('Visitor 249').waitFor();
  assert.ok((await ada.page.evaluate(() => document.querySelectorAll('*').length)) < 1_000);
  // The end comes as one scrolls.
  await eventually(async () => {
    await ada.page.evaluate(() => {
      const rows = document.querySelector('.rows');
      rows.scrollTop = rows.scrollHeight;
    });
    return (await ada.row('Leila Haddad').count()) === 1;
  }, 'the end of the list');
  await ada.page.locator('.list .head').getByText('252', { exact: true }).waitFor();
  assert.ok((await ada.page.evaluate(() => document.querySelectorAll('*').length)) < 1_000);
});

test('the keyboard alone is enough', async (t) => {
  const { leila, arrive } = await shop(t);
  const ada = await arrive();
  await ada.go('/dashboard');
  await ada.row('Ben Ito').waitFor();
  const keys = (...pressed) => pressed.reduce((before, key) => before.then(() => ada.page.keyboard.press(key)), Promise.resolve());
  await keys('j');
  await ada.page.getByRole('main', { name: 'Conversation with Ben Ito' }).waitFor();
  await keys('j');
  await ada.page.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
  await ada.until(() => document.activeElement?.dataset.conversation !== undefined);
  await keys('ArrowUp');
  await ada.until((name) => document.activeElement?.textContent.includes(name), 'Ben Ito');
  await keys('ArrowDown');
  await ada.until((name) => document.activeElement?.textContent.includes(name), 'Leila Haddad');
  await keys('Enter');
  await ada.until(() => document.activeElement?.id === 'message');
  await ada.page.keyboard.type('From the keyboard');
  await keys('Enter');
  await eventually(async () => (await bodies(leila)).includes('From the keyboard'), 'it is sent');
  await keys('Escape', 'i');
  await ada.page.getByRole('complementary', { name: 'Person' }).waitFor({ state: 'hidden' });
  await keys('i');
  await ada.page.getByRole('complementary', { name: 'Person' }).waitFor();
  await keys('g', 'r');
  await ada.page.getByRole('heading', { name: 'Resolved' }).waitFor();
  await keys('?');
  await ada.page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await keys('Escape');
  await ada.page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'hidden' });
});

test('rows keep their order under a resting pointer, and say how many have moved', async (t) => {
  const { leila, arrive } = await shop(t);
  const ada = await arrive();
  await ada.go('/dashboard');
  const names = () => ada.page.locator('.row-name').allTextContents();
  await ada.row('Ben Ito').hover();
  await leila.say('Hello?');
  await ada.button('1 moved up').waitFor();
  assert.match((await names())[0], /Ben Ito/);
  await ada.button('1 moved up').click();
  await ada.until(() => document.querySelector('.row-name')?.textContent.includes('Leila'));
});

test('who may only see is shown nothing to answer with', async (t) => {
  const { server, app, leila } = await shop(t);
  const session = await server.accept(await server.invite(app, 'Vera', 'vera@example.com', 'viewer'));
  const vera = await Person.arrive(t, server.url);
  await vera.isSignedIn(session);
  await vera.go(at(leila));
  await vera.sees('You may read here, and not answer.');
  await vera.page.getByRole('complementary', { name: 'Person' }).getByText('usr_1').waitFor();
  assert.equal(await vera.page.getByRole('button', { name: /Resolve|Send|Block/ }).count(), 0);
  await vera.shows('viewer');
});

test('on a phone back is never out of the dashboard', async (t) => {
  const { leila, arrive } = await shop(t);
  const ada = await arrive({ size: PHONE });
  await ada.go(`${at(leila)}/person`);
  await ada.button('Back to the conversation').click();
  await ada.page.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
  await ada.page.getByRole('link', { name: 'Back to the list' }).click();
  await ada.row('Leila Haddad').click();
  await ada.button('More').click();
  await ada.page.getByRole('menuitem', { name: 'Person' }).click();
  await ada.page.getByRole('complementary', { name: 'Person' }).waitFor();
  await ada.page.goBack();
  await ada.page.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
  await ada.page.goBack();
  await ada.row('Leila Haddad').waitFor();
});
