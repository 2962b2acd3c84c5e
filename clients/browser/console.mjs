// The console in a real browser: log in, see a publication arrive, run a statement; nothing that was sent is markup.
import assert from 'node:assert/strict';
import mysql from 'mysql2/promise';
import { admin, key, login, withBrowser } from './chromium.mjs';

await withBrowser(async (browser) => {
  const page = await browser.newPage();
  const refused = [];
  page.on('console', (message) => { if (/Content Security Policy/.test(message.text())) refused.push(message.text()); });
  await page.goto(`http://${admin}/console`);
  await page.fill('#login [name=key]', 'wrong');
  await page.click('#login button');
  await page.getByText('The user or the key is wrong.').waitFor();
  await page.fill('#login [name=key]', key);
  await page.click('#login button');
  await page.locator('#numbers dd').first().waitFor();
  assert.equal(await page.evaluate(() => document.cookie), '');

  await page.fill('#tail [name=channel]', 'web_console');
  await page.click('#tail button');
  await page.getByText('watching web_console').waitFor();
  const markup = '<img src=x onerror="document.title=1">';
  const backend = await mysql.createConnection(login);
  await backend.execute('INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)', ['web_console', 'e', markup]);
  await backend.end();
  await page.locator('#tail-lines li').first().waitFor();
  assert.match(await page.locator('#tail-lines li').first().textContent(), /<img src=x/);
  assert.equal(await page.locator('#tail-lines img').count(), 0);

  await page.fill('#statement', "SELECT '<b>x</b>' AS text");
  await page.click('#sql button');
  await page.locator('#rows td').first().waitFor();
  assert.equal(await page.locator('#rows td').first().textContent(), '<b>x</b>');
  await page.fill('#statement', 'SELEC');
  await page.click('#sql button');
  await page.locator('#sql-status.error').waitFor();

  await page.click('#logout');
  await page.locator('#login').waitFor();
  assert.deepEqual(refused, []);
});
