// The page that README.md shows, in a real browser: it must show what SQL sends.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import mysql from 'mysql2/promise';
import { http, login, withBrowser } from './browser.mjs';

const readme = readFileSync(process.env.COMETQL_README, 'utf8');
const [, page] = readme.match(/```html\n([\s\S]*?)```/);
assert.ok(page.includes('127.0.0.1:8087'));
const site = createServer((_, response) => {
  response.setHeader('Content-Type', 'text/html');
  response.end(`<!doctype html><meta charset=utf-8>${page.replace('127.0.0.1:8087', http)}`);
});
await new Promise((ready) => site.listen(0, '127.0.0.1', ready));

await withBrowser(async (browser) => {
  const tab = await browser.newPage();
  const subscribed = tab.waitForEvent('websocket').then((socket) => socket.waitForEvent('framereceived'));
  await tab.goto(`http://127.0.0.1:${site.address().port}/`);
  await subscribed;
  const backend = await mysql.createConnection(login);
  const texts = ['Hello from SQL', '<b>no markup</b>', "it's \"quoted\" 🎉"];
  for (const text of texts) {
    await backend.execute('INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)', ['web_news', 'headline', text]);
  }
  await backend.end();
  await tab.locator('#messages li').nth(texts.length - 1).waitFor();
  assert.deepEqual(await tab.locator('#messages li').allTextContents(), texts);
});
site.close();
