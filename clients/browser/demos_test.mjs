// The demos as people use them, with the backend in Python: comments, chat, letters, counters, and tabs through a kill -9.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { withBrowser } from './browser.mjs';
import { DemoServer, online, see, texts } from './demo_server.mjs';
import { until } from './server.mjs';

const { COMETQL_DEMO_SITE, COMETQL_DEMO_PYTHON } = process.env;
const PAGES = ['', 'comments.html', 'chat.html', 'letters.html#11', 'counters.html', 'tabs.html'];

/** The first page: what the terminal says, and a message from SQL. */
async function index(server, browser) {
  assert.match(server.said, new RegExp(`\\s${server.url}\\s`));
  const [line] = server.said.match(/(mysql|mariadb) -h [\s\S]*?"\n/);
  const page = await server.open(browser, '');
  const words = (text) => text.split(/\s+/).filter(Boolean);
  await see(page, '#line', 'INSERT');
  assert.deepEqual(words(await page.locator('#line').textContent()), words(line));
  execFileSync('sh', ['-c', line]);
  await see(page, '#messages li', 'Hello from SQL');
}

/** Two tabs share one connection, and see what the backend wrote. */
async function comments(server, browser) {
  const [first, second] = [await server.open(browser, 'comments.html'), await server.open(browser, 'comments.html')];
  await see(first, '#status', 'shared by 2 tabs');
  // Those of the browser before this one may be there for a moment.
  await until(async () => await server.connections() === 1);
  await first.getByRole('textbox', { name: 'Name' }).fill('Ada');
  await first.getByRole('textbox', { name: 'Comment' }).fill('<b>Lovely</b>');
  await first.getByRole('button', { name: 'Send comment' }).click();
  for (const tab of [first, second]) await see(tab, '#comments li', '<b>Lovely</b>');
  assert.equal(await second.locator('#comments b').count(), 0);
  const [row] = await server.sql("SELECT message FROM pipes_messages WHERE name = 'comments_demo'");
  assert.deepEqual(JSON.parse(row.message), { name: 'Ada', text: '<b>Lovely</b>' });
  // Who comes later sees it, too.
  await see(await server.open(browser, 'comments.html'), '#comments li', 'Ada');
}

/** Two browsers see each other, who is typing, and what is said. */
async function chat(server, browser) {
  const here = await server.open(browser, 'chat.html');
  await withBrowser(async (other) => {
    const there = await server.open(other, 'chat.html');
    await see(here, '#count', '2');
    await see(there, '#count', '2');
    await there.getByLabel('Your name').fill('Grace');
    await there.getByRole('textbox', { name: 'Message' }).pressSequentially('Hi');
    await see(here, '#here li', 'Grace');
    await see(here, '#typing', 'Grace is typing');
    await there.getByRole('button', { name: 'Send' }).click();
    for (const page of [here, there]) await see(page, '#said li', 'Hi');
    assert.equal((await here.locator('#typing').textContent()).trim(), '');
    assert.equal(await there.locator('#said li.mine').count(), 1);
    assert.equal(await here.locator('#said li.mine').count(), 0);
  });
  // Gone, after the time in which a reload would be back.
  await see(here, '#count', '1');
}

const waiting = async (server, user) =>
  (await server.sql('SELECT message FROM users_messages WHERE id = ?', [user])).length;

async function write(page, to, text) {
  await page.getByLabel('To').selectOption({ value: String(to) });
  await page.getByRole('textbox', { name: 'Letter' }).fill(text);
  await page.getByRole('button', { name: 'Send letter' }).click();
  await see(page, '#sent', 'Sent');
}

/** Ben is not there. He gets the letter when he comes, and again until he has opened it. */
async function letters(server, browser) {
  const ada = await server.open(browser, 'letters.html#11');
  await ada.locator('#to option', { hasText: 'Ben (not here)' }).waitFor({ state: 'attached' });
  await write(ada, 12, 'Dear Ben');
  assert.equal(await waiting(server, 12), 1);
  const ben = await server.open(browser, 'letters.html#12');
  const closed = ben.getByRole('button', { name: 'Open the letter from Ada' });
  await closed.waitFor();
  await ben.reload();
  await online(ben);
  await closed.waitFor();
  assert.equal(await closed.count(), 1);
  assert.equal(await waiting(server, 12), 1, 'it was shown, but not opened');
  await closed.click();
  await see(ben, '#letters li', 'Dear Ben');
  while (await waiting(server, 12) > 0);
  await ben.reload();
  await online(ben);
  await see(ben, '#letters li', 'Dear Ben');
  // Who is there gets it at once.
  await write(ada, 12, 'Dear Ben, again');
  await closed.waitFor();
  assert.equal((await texts(ben, '#letters li')).length, 2);
  await closed.click();
}

/** Each statement that the pages show is one that the server takes. */
async function statements(server, browser) {
  const done = [];
  for (const name of PAGES) {
    const page = await server.open(browser, name);
    for (const text of await texts(page, 'pre')) {
      if (!/^\s*(INSERT|SELECT|SHOW)/.test(text) || text.includes('users_')) continue;
      await server.sql(text);
      done.push(text);
    }
    await page.close();
  }
  assert.ok(done.length >= 5, done.join('\n'));
}

/** Numbers of the backend and of SQL; `statements` has set the latter. */
async function counters(server, browser) {
  const page = await server.open(browser, 'counters.html');
  await see(page, '#numbers div', /visitors\s*1024/);
  await see(page, '#numbers div', /comments\s*\d/);
  await see(page, '#viewers', '1');
  await page.getByRole('button', { name: 'Buy a ticket' }).click();
  await see(page, '#numbers div', /tickets\s*1/);
  await server.sql(
    "INSERT INTO pipes_messages (name, event, message) VALUES ('counters_demo', 'visitors', '1025')",
  );
  await see(page, '#numbers div', /visitors\s*1025/);
}

const number = async (page, name) => Number(await page.locator(`#${name}`).textContent());

async function received(page, more) {
  const wanted = await number(page, 'received') + more;
  await page.waitForFunction((count) => Number(document.querySelector('#received').textContent) >= count, wanted);
}

/** The server is killed under two tabs while one of them sends, and comes back. */
async function outage(server, browser) {
  const [sender, other] = [await server.open(browser, 'tabs.html'), await server.open(browser, 'tabs.html')];
  const reader = await server.open(browser, 'comments.html');
  const dan = await server.open(browser, 'letters.html#14');
  await write(dan, 13, 'Dear Chloe');
  await see(sender, '#tabs', '3');
  await see(sender, '#connections', '1');
  await see(sender, '#mode', 'worker');
  // One for those who are nobody, and one for Dan.
  await until(async () => await server.connections() === 2);
  const said = (page) => page.locator('#comments li').evaluateAll((items) => items.map((item) => item.lastChild.data));
  const before = await said(reader);
  await sender.locator('#send').click();
  for (const tab of [sender, other]) await received(tab, 3);
  await server.kill();
  for (const tab of [sender, other]) await tab.locator('#status[data-state=offline]').waitFor();
  await server.spawn();
  const more = ['one', 'two', 'three'];
  for (const text of more) {
    const message = JSON.stringify({ name: 'SQL', text });
    await server.sql(
      "INSERT INTO pipes_messages (name, event, message) VALUES ('comments_demo', 'comment', ?)", [message],
    );
  }
  for (const tab of [sender, other]) {
    await online(tab);
    await received(tab, 3);
  }
  await sender.locator('#send').click();
  const sum = async (tab) => Promise.all(['received', 'missing', 'twice', 'recovered'].map((name) => number(tab, name)));
  // What was sent last may come while one of them was asked and the other one was not.
  let sums;
  await until(async () => {
    sums = [await sum(sender), await sum(other)];
    return isDeepStrictEqual(...sums);
  }, () => JSON.stringify(sums));
  const [[count, ...rest]] = sums;
  assert.ok(count >= 6, `${count} messages`);
  assert.deepEqual(rest, [0, 0, 1], 'missing, twice, outages');
  await see(reader, '#comments li', 'three');
  assert.deepEqual(await said(reader), [...before, ...more]);
  // The letter of before the kill, and the backend is back as well.
  await write(dan, 13, 'Dear Chloe, are you there?');
  const chloe = await server.open(browser, 'letters.html#13');
  const closed = chloe.getByRole('button', { name: 'Open the letter from Dan' });
  for (let count = 2; count > 0; count -= 1) {
    await closed.nth(count - 1).waitFor();
    await closed.first().click();
  }
  assert.equal(await closed.count(), 0);
  await see(chloe, '#letters li', 'Dear Chloe, are you there?');
}

const server = await DemoServer.start(['--site', COMETQL_DEMO_SITE, '--backend', COMETQL_DEMO_PYTHON]);
try {
  for (const demo of [index, comments, chat, letters, statements, counters, outage]) {
    await withBrowser((browser) => demo(server, browser));
    console.log(demo.name);
  }
} finally {
  await server.stop();
}
