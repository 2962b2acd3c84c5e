// The demos' backend in PHP, and the demos without any backend.
import assert from 'node:assert/strict';
import { withBrowser } from './browser.mjs';
import { DemoServer, online, see } from './demo_server.mjs';

const { COMETQL_DEMO_SITE, COMETQL_DEMO_PHP } = process.env;

async function php(server, browser) {
  const comments = await server.open(browser, 'comments.html');
  await comments.getByRole('textbox', { name: 'Name' }).fill('Ada');
  await comments.getByRole('textbox', { name: 'Comment' }).fill("It's \"quoted\" 🎉");
  await comments.getByRole('button', { name: 'Send comment' }).click();
  await see(comments, '#comments li', "It's \"quoted\" 🎉");
  const counters = await server.open(browser, 'counters.html');
  await counters.getByRole('button', { name: 'Buy a ticket' }).click();
  await see(counters, '#numbers div', /tickets\s*1/);
  const ada = await server.open(browser, 'letters.html#11');
  await ada.getByLabel('To').selectOption({ value: '12' });
  await ada.getByRole('textbox', { name: 'Letter' }).fill('Dear Ben');
  await ada.getByRole('button', { name: 'Send letter' }).click();
  const ben = await server.open(browser, 'letters.html#12');
  await ben.getByRole('button', { name: 'Open the letter from Ada' }).click();
  await see(ben, '#letters li', 'Dear Ben');
}

/** Whoever reads the page is the backend. */
async function byHand(server, browser) {
  const comments = await server.open(browser, 'comments.html');
  await see(comments, '.no-backend', 'No backend runs here');
  assert.equal(await comments.locator('#write').isVisible(), false);
  await server.sql(await comments.locator('pre').first().textContent());
  await see(comments, '#comments li', 'Hello');
  const page = await browser.newPage();
  await page.goto(`${server.url}letters.html#11`);
  await see(page, '#login-sql', 'users_auth');
  await page.locator('#status[data-state=stopped]').waitFor();
  await server.sql(await page.locator('#login-sql').textContent());
  await server.sql(await page.locator('#letter-sql').textContent());
  await page.reload();
  await online(page);
  await page.getByRole('button', { name: 'Open the letter from Ben' }).click();
  await see(page, '#letters li', 'Hello');
}

for (const [demo, more] of [[php, ['--backend', COMETQL_DEMO_PHP]], [byHand, []]]) {
  const server = await DemoServer.start(['--site', COMETQL_DEMO_SITE, ...more]);
  try {
    await withBrowser((browser) => demo(server, browser));
    console.log(demo.name);
  } finally {
    await server.stop();
  }
}
