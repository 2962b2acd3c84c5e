// A node, pages with one of the original's unmodified JavaScript clients or with `cometql/legacy`, and what a test needs to look
// at both. The original's client is AGPL and not part of this repository; `cargo xtask clients` says where it must lie.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { dirname, join } from 'node:path';
import { withBrowser } from './browser.mjs';
import { Node, PATIENCE } from './server.mjs';

const { COMETQL_CA, COMETQL_ORIGINAL, COMETQL_PACKAGE } = process.env;
const tls = COMETQL_CA && { cert: COMETQL_CA, key: join(dirname(COMETQL_CA), 'key.pem') };

/** An origin of its own: what pages share through localStorage, they share with one origin only. */
async function site(files) {
  const answer = (request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    const file = files[pathname];
    const type = { js: 'text/javascript; charset=utf-8', wasm: 'application/wasm' }[file && pathname.split('.').pop()];
    response.setHeader('Content-Type', type ?? 'text/html; charset=utf-8');
    response.end(file ?? '<!doctype html><link rel=icon href=data:,><script src=/CometServerApi.js></script>');
  };
  const server = tls
    ? https.createServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, answer)
    : http.createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}/` };
}

/** A page with the client. */
class Page {
  constructor(tab) {
    this.tab = tab;
  }

  /** Calls a method of the client. */
  call(method, ...values) {
    return this.tab.evaluate(([method, values]) => cometApi[method](...values), [method, values]);
  }

  /** Calls a method whose last argument is a callback, and notes under `name` what that is called with. */
  listen(name, method, ...values) {
    return this.#listen([[name, method, values]]);
  }

  /** Subscribes to all of these at once: the client sends one list, for each further one `track_` pipes are left. */
  subscribe(...names) {
    return this.#listen(names.map((name) => [name, 'subscription', [name]]));
  }

  #listen(calls) {
    return this.tab.evaluate((calls) => {
      window.seen ??= [];
      for (const [name, method, values] of calls) {
        cometApi[method](...values, (message) => window.seen.push(JSON.parse(JSON.stringify({ name, message }))));
      }
    }, calls);
  }

  /** Waits for so many calls in all of the callback of this name and returns the messages. */
  async seen(name, count) {
    const noted = (name) => (window.seen ?? []).filter((one) => one.name === name).map((one) => one.message ?? null);
    await this.tab.waitForFunction(
      ([name, count]) => (window.seen ?? []).filter((one) => one.name === name).length >= count,
      [name, count],
    );
    return this.tab.evaluate(noted, name);
  }

  /** The same, the last message only. */
  async last(name, count) {
    const messages = await this.seen(name, count);
    assert.equal(messages.length, count, `${name}: ${JSON.stringify(messages)}`);
    return messages[count - 1];
  }

  /** Waits until other tabs have sent so many more signals of this name. */
  async signals(name, count) {
    await this.tab.evaluate((name) => {
      window.signals = 0;
      tabSignal.connect(name, () => { window.signals += 1; });
    }, name);
    await this.tab.waitForFunction((count) => window.signals >= count, count);
  }

  /** Waits until a method of the client returns this. */
  is(what, value) {
    return this.tab.waitForFunction(([what, value]) => cometApi[what]() === value, [what, value]);
  }
}

/** Runs a test with the original's client, whose text must have this SHA-256. */
export function withOriginal(digest, test) {
  const script = readFileSync(COMETQL_ORIGINAL);
  assert.equal(createHash('sha256').update(script).digest('hex'), digest, `${COMETQL_ORIGINAL} is not the unmodified client`);
  return withPages({ '/CometServerApi.js': script }, test);
}

/** The same with the package's script in its place. */
export function withLegacy(test) {
  const file = (name) => readFileSync(join(COMETQL_PACKAGE, name));
  return withPages({
    '/CometServerApi.js': file('cometql-legacy.iife.js'),
    '/worker.js': file('worker.js'),
    '/cometql.wasm': file('cometql.wasm'),
  }, test);
}

/** Runs a test with a node, three sites with these files and a way to open pages of them. */
async function withPages(files, test) {
  const node = new Node(tls ? `[http]\ntls_certificate = "${tls.cert}"\ntls_key = "${tls.key}"\n` : '');
  const sites = await Promise.all([site(files), site(files), site(files)]);
  try {
    assert.equal(await node.start(), tls ? 'https' : 'http');
    await withBrowser(async (browser) => {
      const open = async (at, options) => {
        const page = new Page(await browser.newPage());
        page.tab.setDefaultTimeout(PATIENCE);
        await page.tab.goto(sites[at].url);
        await page.listen('yes', 'onAuthSuccess');
        await page.listen('no', 'onAuthFalill');
        await page.call('start', { node: node.address, nostat: true, ...options });
        return page;
      };
      await test(node, open);
    }, ['--ignore-certificate-errors']);
    await node.stop();
  } finally {
    node.remove();
    for (const { server } of sites) server.close();
  }
}
