// `cometql demo` as a newcomer meets it: open the printed URL, run the printed SQL line, write from one window to another.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withBrowser } from './browser.mjs';

const folder = mkdtempSync(join(tmpdir(), 'cometql-demo-'));
const any = '127.0.0.1:0';
const demo = spawn(process.env.COMETQL_BINARY, [
  'demo', '--http', any, '--mysql', any, '--admin', any, '--data-dir', join(folder, 'demo'),
], { stdio: ['ignore', 'pipe', 'inherit'] });

/** What the demo prints, up to its last line. */
async function announcement() {
  let text = '';
  for await (const chunk of demo.stdout) {
    text += chunk;
    if (text.includes('Ctrl-C')) return text;
  }
  throw new Error(`the demo ended: ${text}`);
}

try {
  const said = await announcement();
  const [url] = said.match(/http:\/\/[\d.:]+\/\s/);
  const [line] = said.match(/(mysql|mariadb) -h [\s\S]*?"\n/);
  await withBrowser(async (browser) => {
    const [first, second] = [await browser.newPage(), await browser.newPage()];
    const failed = [];
    for (const page of [first, second]) {
      page.on('response', (response) => { if (!response.ok()) failed.push(response.url()); });
      await page.goto(url.trim());
      await page.locator('#status[data-state=open]').waitFor();
    }
    // The page shows the same line, and its button copies it.
    const words = (text) => text.split(/\s+/).filter(Boolean);
    assert.deepEqual(words(await first.locator('#line').textContent()), words(line));
    await browser.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: url.trim().replace(/\/$/, '') });
    await first.bringToFront();
    await first.locator('#copy').click();
    await first.locator('#copy', { hasText: 'Copied' }).waitFor();
    execFileSync('sh', ['-c', await first.evaluate(() => navigator.clipboard.readText())]);
    for (const page of [first, second]) await page.locator('#messages li', { hasText: 'Hello from SQL' }).waitFor();
    await first.locator('#text').fill('<i>from a page</i>');
    await first.locator('#send button').click();
    for (const page of [first, second]) await page.locator('#messages li', { hasText: '<i>from a page</i>' }).waitFor();
    execFileSync('sh', ['-c', line.replace('Hello from SQL', '{\n \\"several\\": \\"lines\\"\n}')]);
    for (const page of [first, second]) await page.locator('#messages li', { hasText: '"several"' }).waitFor();
    assert.equal(await second.locator('#messages li').count(), 3);
    assert.deepEqual(failed, []);
  });
  demo.kill('SIGTERM');
  const [code] = await once(demo, 'exit');
  assert.equal(code, 0, 'the demo stops cleanly');
} finally {
  demo.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
