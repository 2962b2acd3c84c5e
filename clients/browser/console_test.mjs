// The console in a real browser: log in, live numbers, channels, a live tail, SQL, nothing shown as markup.
import assert from 'node:assert/strict';
import mysql from 'mysql2/promise';
import { admin, http, key, login, withBrowser } from './browser.mjs';

const CHANNEL = 'web_console_test';
const INSERT = 'INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)';

async function sql(page, statement) {
  await page.locator('#statement').fill(statement);
  await page.locator('#sql button').click();
  await page.locator('#sql-status', { hasNotText: 'running' }).waitFor();
  return page.locator('#sql-status').textContent();
}

await withBrowser(async (browser) => {
  const page = await browser.newPage();
  const refused = [];
  page.on('console', (line) => {
    if (line.text().includes('Content Security Policy')) refused.push(line.text());
  });
  const response = await page.goto(`http://${admin}/console`);
  assert.match(response.headers()['content-security-policy'], /default-src/);

  await page.locator('#login input[name=key]').fill('a wrong key');
  await page.locator('#login button').click();
  await page.locator('#login-error', { hasText: /./ }).waitFor();
  await page.locator('#login input[name=key]').fill(key);
  await page.locator('#login button').click();
  await page.locator('#view').waitFor();
  const cookies = await browser.cookies();
  assert.ok(cookies.length > 0);
  assert.ok(cookies.every((cookie) => cookie.httpOnly && cookie.sameSite === 'Strict'), JSON.stringify(cookies));

  await page.locator('#tail input').fill(CHANNEL);
  await page.locator('#tail button').click();
  await page.locator('#tail-status', { hasText: `watching ${CHANNEL}` }).waitFor();
  // Who watches is no subscriber: the list shows the one that there is.
  const subscriber = new AbortController();
  await fetch(`http://${http}/sse?v=1&channels=${CHANNEL}`, { signal: subscriber.signal });
  await page.locator('#channels td', { hasText: CHANNEL }).waitFor();

  const backend = await mysql.createConnection(login);
  const texts = ['<img src=x onerror="document.title=1">', '{\n  "several": "lines"\n}', 'last'];
  for (const text of texts) await backend.execute(INSERT, [CHANNEL, 'e', text]);
  await backend.end();
  await page.locator('#tail-lines li', { hasText: 'last' }).waitFor();
  const shown = await page.locator('#tail-lines li').allTextContents();
  assert.equal(shown.length, texts.length, shown.join(' | '));
  assert.ok(shown[2].includes(texts[0]), shown[2]);
  assert.ok(shown[1].includes('"several"'), shown[1]);
  assert.equal(await page.locator('#tail-lines img').count(), 0);

  assert.equal(await sql(page, `SELECT name, users FROM pipes WHERE name = '${CHANNEL}'`), '1 rows');
  assert.deepEqual(await page.locator('#rows td').allTextContents(), [CHANNEL, '1']);
  assert.match(await sql(page, 'SELECT * FROM no_such_table'), /^Error 15: .*no_such_table/);
  await page.locator('#sql-status.error').waitFor();
  assert.match(await sql(page, `INSERT INTO users_auth (id, hash) VALUES (7, 'abc')`), /^OK, 1 rows/);

  // Restricted channels too; from the list by keyboard.
  await page.locator('#tail input').fill('private_console_test');
  await page.locator('#tail input').press('Enter');
  await page.locator('#tail-status', { hasText: 'watching private_console_test' }).waitFor();
  await sql(page, `INSERT INTO pipes_messages (name, event, message) VALUES ('private_console_test', 'e', 'for few')`);
  await page.locator('#tail-lines li', { hasText: 'for few' }).waitFor();
  await page.locator('#channels button', { hasText: CHANNEL }).press('Enter');
  await page.locator('#tail-status', { hasText: `watching ${CHANNEL}` }).waitFor();
  subscriber.abort();

  await page.setViewportSize({ width: 360, height: 740 });
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= screen, `${wide} pixels wide on a screen of ${screen}`);
  if (process.env.COMETQL_SCREENSHOTS) {
    await page.screenshot({ path: `${process.env.COMETQL_SCREENSHOTS}/console-360.png`, fullPage: true });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 1200, height: 800 });
    await page.screenshot({ path: `${process.env.COMETQL_SCREENSHOTS}/console-dark.png`, fullPage: true });
  }

  await page.locator('#logout').click();
  await page.locator('#login').waitFor();
  await page.reload();
  await page.locator('#login').waitFor();
  assert.deepEqual(refused, []);
});
