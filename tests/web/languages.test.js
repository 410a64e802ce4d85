// The dashboard in Arabic, from right to left: the same work, in other words.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP, PHONE, Person, eventually } from './browser.js';
import { PASSWORD, Server, Visitor } from './server.js';

const PEOPLE = [
  ['otaibi', { id: 'usr_3', name: 'محمد العتيبي' }, ['الدراجة لا تعمل بعد التحديث الأخير، والتطبيق يعرض رسالة خطأ غير مفهومة.']],
  ['noor', { id: 'usr_7', name: 'Noor de Vries' }, ['Can I pick it up on Sunday?', 'Or on Monday?', 'Hello?']],
  ['misaki', { id: 'usr_1', name: '山田 美咲' }, ['返金の手続きはいつ完了しますか？']],
  ['lyon', undefined, ['Bonjour, est-ce que vous livrez aussi en Belgique ?']],
];

async function shop(t) {
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const ben = await server.accept(await server.invite(app, 'بن عوكافور', 'ben@example.com', 'agent'));
  const as = ({ admin_token }) => ({ authorization: `Bearer ${admin_token}` });
  for (const [id, user, said] of PEOPLE) {
    const visitor = await new Visitor(server, app, id, user).open();
    if (id !== 'misaki') await visitor.connect(t);
    for (const body of said) await visitor.say(body);
  }
  const attributes = { Plan: 'Plus, yearly', Bike: 'HB-2207-4419' };
  const leila = await new Visitor(server, app, 'leila', { id: 'usr_20418', name: 'Leila Haddad', email: 'leila.haddad@example.com', attributes }, { model: 'iPhone 15', app_version: '4.2.1' }).open();
  await leila.connect(t);
  await leila.say('Hi! Since the update my bike stops charging at 38 %.');
  await server.ask('PATCH', `/v1/admin/conversations/${leila.conversation}`, { assignee_id: session.agent.id }, as(ben));
  const { message } = await server.ask('POST', `/v1/admin/conversations/${leila.conversation}/messages`, { local_id: 'b-1', body: 'مرحبًا ليلى، سأنظر في الأمر حالًا.' }, as(ben));
  await leila.read(message);
  await server.ask('POST', `/v1/admin/conversations/${leila.conversation}/notes`, { local_id: 'n-1', body: 'The battery is under warranty.' }, as(ben));
  await leila.say('شكرًا! الشاحن يومض باللون الأحمر مرتين ثم يتوقف 🔴🔴');
  await server.ask('POST', '/v1/admin/canned-replies', { shortcut: 'مرحبا', text: 'مرحبًا {{person.name|بك}}، معك {{agent.name}}. كيف يمكنني مساعدتك؟' }, as(session));
  await server.ask('POST', '/v1/admin/canned-replies', { shortcut: 'hours', text: 'We are here from 9 to 17.' }, as(session));
  return { server, app, session, leila };
}

const direction = (person) => person.page.evaluate(() => [document.documentElement.lang, document.documentElement.dir]);
const row = (person, name) => person.page.getByRole('list', { name: 'المحادثات' }).getByRole('link', { name });

for (const [size, where] of [[DESKTOP, 'desk'], [PHONE, 'phone']]) {
  for (const dark of [false, true]) {
    const name = `arabic-${where}-${dark ? 'dark' : 'light'}`;
    test(`somebody works in Arabic, ${name}`, async (t) => {
      const { server, leila } = await shop(t);
      const ada = await Person.arrive(t, server.url, { size, dark, locale: 'ar-EG' });
      await ada.go('/dashboard');
      await ada.field('البريد الإلكتروني').fill('ada@example.com');
      await ada.field('كلمة المرور').fill('not this one at all');
      await ada.button('تسجيل الدخول').click();
      await ada.sees('البريد الإلكتروني أو كلمة المرور غير صحيحة.');
      await ada.shows(`${name}-sign-in`);
      assert.deepEqual(await direction(ada), ['ar', 'rtl']);
      await ada.field('كلمة المرور').fill(PASSWORD);
      await ada.button('تسجيل الدخول').click();
      await row(ada, /Leila Haddad/).waitFor();
      await row(ada, /Noor de Vries.*٣ رسائل غير مقروءة/).waitFor();
      await ada.shows(`${name}-list`);

      await row(ada, /Leila Haddad/).click();
      await ada.page.getByRole('log', { name: 'الرسائل' }).getByText('إسناد المحادثة إليك').waitFor();
      const field = ada.field('رسالة');
      await field.fill('نعم، يمكن لجارك أن يتسلّمها. يطلب المندوب الرمز BX71 فقط.');
      if (size === DESKTOP) {
        await field.press('Enter');
        await ada.page.locator('.receipt').getByText('أُرسلت', { exact: true }).waitFor();
      } else {
        await ada.button('إرسال').click();
        await ada.page.locator('.receipt').getByText('أُرسلت', { exact: true }).waitFor();
      }
      assert.equal((await leila.messages()).at(-1).body, 'نعم، يمكن لجارك أن يتسلّمها. يطلب المندوب الرمز BX71 فقط.');
      await ada.button('ملاحظة').click();
      await ada.field('ملاحظة').fill('أُرسلت البطارية الجديدة اليوم.');
      await ada.button('إضافة ملاحظة').click();
      await ada.page.locator('.note').filter({ hasText: 'أُرسلت البطارية' }).getByText('ملاحظة لا يراها إلا الفريق').waitFor();
      leila.types(true);
      await ada.page.locator('.typing').getByText('يكتب الآن').waitFor();
      await ada.button('رد').click();
      await ada.shows(`${name}-conversation`);
      await field.pressSequentially('/');
      await ada.page.getByRole('listbox', { name: 'ردود جاهزة' }).waitFor();
      await ada.shows(`${name}-canned`);
      await field.fill('');
      await ada.button('المزيد').click();
      await ada.shows(`${name}-menu`);
      await ada.page.keyboard.press('Escape');
      if (size === PHONE) {
        await ada.button('المزيد').click();
        await ada.page.getByRole('menuitem', { name: 'الشخص' }).click();
      }
      await ada.page.getByRole('complementary', { name: 'الشخص' }).getByText('leila.haddad@example.com').waitFor();
      await ada.shows(`${name}-person`, { isPerson: size === PHONE });

      if (size === DESKTOP) {
        await ada.page.locator('body').press('Escape');
        await ada.page.locator('body').press('?');
        await ada.page.getByRole('dialog', { name: 'الاختصارات' }).waitFor();
        await ada.shows(`${name}-keys`);
        await ada.page.keyboard.press('Escape');
        await ada.page.keyboard.press('Control+k');
        await ada.page.getByRole('textbox', { name: 'اكتب أمرًا أو اسمًا' }).or(ada.page.getByRole('combobox', { name: 'اكتب أمرًا أو اسمًا' })).waitFor();
        await ada.shows(`${name}-commands`);
        await ada.page.keyboard.press('Escape');
      }
      await ada.go('/dashboard/sessions');
      await ada.page.getByRole('row').filter({ hasText: 'Leila Haddad' }).getByText('متصل').waitFor();
      await ada.shows(`${name}-sessions`);
      for (const [section, seen] of [['profile', 'اللغة'], ['team', 'بن عوكافور'], ['canned', '/hours'], ['app', 'إنشاء سرّ'], ['audit', 'إضافة رد جاهز'], ['about', 'الأجهزة المتصلة']]) {
        await ada.go(`/dashboard/settings/${section}`);
        await ada.page.getByText(seen).first().waitFor();
        await ada.shows(`${name}-settings-${section}`);
        if (section !== 'canned') continue;
        await ada.button('رد جديد').click();
        await ada.field('الاسم المختصر').fill('two words');
        await ada.field('النص').fill('مرحبًا {{person.name|بك}}، معك {{agent.name}}.');
        await ada.button('حفظ').click();
        await ada.page.getByText('الاسم المختصر كلمة واحدة').waitFor();
        await ada.shows(`${name}-settings-canned-new`);
      }
    });
  }
}

test('the language is chosen in the profile, and changes at once, in all tabs and for good', async (t) => {
  const { server, session } = await shop(t);
  const ada = await Person.arrive(t, server.url);
  const asked = [];
  ada.context.on('request', (request) => asked.push(request.url()));
  await ada.isSignedIn(session);
  await ada.go('/dashboard/settings/profile');
  await ada.sees('This one');
  assert.equal(asked.some((url) => url.includes('words.ar')), false, 'words that nobody reads are not loaded');
  const other = await ada.context.newPage();
  await other.goto(`${ada.url}/dashboard/all`);
  await other.getByRole('heading', { name: 'All' }).waitFor();
  await ada.page.evaluate(() => (globalThis.wasHere = true));
  await ada.button('العربية').click();
  await ada.page.getByRole('heading', { name: 'الملف الشخصي', level: 1 }).waitFor();
  assert.deepEqual(await direction(ada), ['ar', 'rtl']);
  assert.equal(await ada.button('العربية').getAttribute('aria-pressed'), 'true');
  // What the browser itself prefers is English: its digits are no other ones.
  await eventually(async () => /\d/.test(await ada.page.getByRole('row').last().textContent()), 'digits as they are');
  await other.getByRole('heading', { name: 'الكل' }).waitFor();
  await ada.page.getByRole('link', { name: 'الوارد' }).or(ada.page.getByRole('link', { name: 'محادثاتي' })).first().click();
  await row(ada, /Leila Haddad/).waitFor();
  assert.equal(await ada.page.evaluate(() => globalThis.wasHere), true, 'the page is the same one');
  await ada.page.reload();
  await row(ada, /Leila Haddad/).waitFor();
  assert.deepEqual(await direction(ada), ['ar', 'rtl']);
  await ada.go('/dashboard/settings/profile');
  await ada.button('English').click();
  await ada.page.getByRole('heading', { name: 'Profile', level: 1 }).waitFor();
  assert.deepEqual(await direction(ada), ['en', 'ltr']);
  await ada.button('As the browser’s').first().click();
  assert.deepEqual(await direction(ada), ['en', 'ltr']);
});
