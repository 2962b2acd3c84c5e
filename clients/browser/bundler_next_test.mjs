// Next.js, as it builds by default (Turbopack) and with webpack: rendered on the server, then alive in the page.
import assert from 'node:assert/strict';
import { build, twoTabs, withServer } from './bundler.mjs';

for (const flags of [[], ['--webpack']]) {
  build(...flags);
  await withServer(async (url) => {
    assert.match(await (await fetch(url)).text(), /data-state="none"/);
    await twoTabs(url, ['new hello']);
  });
}
