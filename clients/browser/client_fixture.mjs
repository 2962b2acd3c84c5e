// What the tests of the browser client stand on: a browser, sites that serve the built package, nodes, and tabs to look at.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { Node, until } from './server.mjs';

const { COMETQL_BROWSER, COMETQL_PACKAGE } = process.env;
const isFirefox = COMETQL_BROWSER === 'firefox';
const SECRET = 'the browser tests sign tokens with this';
const PAGES = { '/': readFileSync('client_page.html'), '/plain': readFileSync('client_plain.html') };
const TYPES = { js: 'text/javascript', wasm: 'application/wasm', map: 'application/json' };

/** `durable:` channels are on disk; all others keep a window in memory. */
const CONFIG = `
[[jwt_keys]]
algorithm = "HS256"
secret = "${SECRET}"
[[channels]]
prefix = "durable:"
subscribe = "anyone"
history = "durable"
history_length = 10000
history_age = "1 h"
`;

const BROWSERS = {
  chromium: {
    browser: 'chrome',
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--renderer-process-limit=100'],
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  },
  firefox: {
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    // Its own windows may be asked which process a tab has, and each tab has one.
    args: ['--remote-allow-system-access'],
    extraPrefsFirefox: { 'dom.ipc.processCount.webIsolated': 100 },
  },
};

export const launch = () => puppeteer.launch({ headless: true, ...BROWSERS[COMETQL_BROWSER] });

/** One that takes whatever certificate a server has, in workers, too. */
export function launchTrusting() {
  const { args, ...more } = BROWSERS[COMETQL_BROWSER];
  const trusting = isFirefox ? args : [...args, '--ignore-certificate-errors'];
  return puppeteer.launch({ headless: true, acceptInsecureCerts: true, ...more, args: trusting });
}

/** A token of a user that ends after so many seconds. */
export function token(user, seconds) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: String(user), iat: now, exp: now + seconds })}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${server.address().port}`;
}

function isRunning(id) {
  try {
    return process.kill(id, 0);
  } catch {
    return false;
  }
}

/** An origin of its own: the page at `/`, one of plain scripts at `/plain`, the package, and tokens. */
class Site {
  #server = createServer((request, response) => this.#answer(request, response));
  /** Makes tokens; `given` are those that were asked for. */
  token = () => '';
  given = [];

  constructor(headers) {
    this.headers = headers;
  }

  async start() {
    this.url = await listen(this.#server);
    return this;
  }

  #answer({ url }, response) {
    const { pathname } = new URL(url, 'http://site');
    for (const [name, value] of Object.entries(this.headers)) response.setHeader(name, value);
    if (pathname === '/token') {
      this.given.push(this.token());
      return response.end(this.given.at(-1));
    }
    if (pathname === '/missing.js') {
      response.statusCode = 404;
      return response.end();
    }
    const [, file] = /^\/package\/([\w.]+)$/.exec(pathname) ?? [];
    response.setHeader('Content-Type', file ? TYPES[file.split('.').at(-1)] : 'text/html; charset=utf-8');
    response.end(file ? readFileSync(join(COMETQL_PACKAGE, file)) : PAGES[pathname] ?? '<!doctype html><title>another page</title>');
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let turn = Promise.resolve();

/** Opens or closes something of the browser: Firefox loses a tab that it opens while it does so with another one. */
function inTurn(run) {
  const done = turn.then(run);
  turn = done.catch(() => {});
  return done;
}

/** A tab with the page. */
class Tab {
  constructor(page) {
    this.page = page;
  }

  evaluate(...given) {
    return this.page.evaluate(...given);
  }

  /** The client's state. */
  state() {
    return this.evaluate(() => ({ ...page.client.state, error: page.client.state.error?.code }));
  }

  /** Waits until the state is like this. */
  async is(wanted) {
    const like = (state) => Object.entries(wanted).every(([name, value]) => state?.[name] === value);
    const look = () => this.state().catch(() => undefined);
    await until(async () => like(await look()), async () => `${JSON.stringify(wanted)}: ${JSON.stringify(await look())}`);
    return this;
  }

  /** Waits until there is no connection any more, and the page is told why, by a class and a code. */
  async stops(code, type = 'RefusedError') {
    await this.is({ status: 'stopped', error: code });
    assert.ok(await this.evaluate((type) => page.client.state.error instanceof page.cometql[type], type), 'the class of the error');
  }

  /** Waits for so many messages and compares them. */
  async gets(channel, wanted) {
    const seen = () => this.evaluate((channel) => page.messages[channel], channel);
    await until(async () => (await seen()).length >= wanted.length, async () => `${wanted}: ${await seen()}`);
    assert.deepEqual(await seen(), wanted);
  }

  /** The same with private messages. */
  async inbox(wanted) {
    const seen = () => this.evaluate(() => page.inbox);
    await until(async () => (await seen()).length >= wanted.length, async () => `${wanted}: ${await seen()}`);
    assert.deepEqual(await seen(), wanted);
  }

  /** Waits until the client has told this of a channel, or of an error's code. */
  async told(type, of) {
    const told = () => this.evaluate(() => page.told);
    await until(
      async () => (await told()).some(([is, what]) => is === type && what === of),
      async () => `${type} ${of}: ${JSON.stringify(await told())}`,
    );
  }

  /** Speaks to the browser's own protocol; Chromium only. */
  async cdp(method, parameters) {
    this.session ??= await this.page.createCDPSession();
    return this.session.send(method, parameters);
  }

  /** The id of its process; Firefox only. */
  async process() {
    const ask = async (method, parameters) => (await this.page.browser().connection.send(method, parameters)).result;
    const { contexts: [{ context }] } = await ask('browsingContext.getTree', { 'moz:scope': 'chrome' });
    const expression = `JSON.stringify(gBrowser.browsers.map(({ currentURI, browsingContext }) => [currentURI.spec, browsingContext.currentWindowGlobal.osPid]))`;
    const { result } = await ask('script.evaluate', { expression, target: { context }, awaitPromise: false });
    return new Map(JSON.parse(result.value)).get(this.page.url());
  }

  /** Nothing of it runs any more: as Chromium does it to hidden tabs, or as a system does it to a whole process. */
  async freeze() {
    if (!isFirefox) return this.cdp('Page.setWebLifecycleState', { state: 'frozen' });
    this.stopped = await this.process();
    process.kill(this.stopped, 'SIGSTOP');
  }

  async thaw() {
    if (!isFirefox) return this.cdp('Page.setWebLifecycleState', { state: 'active' });
    process.kill(this.stopped, 'SIGCONT');
  }

  /** Its process ends at once. */
  async crash() {
    if (isFirefox) {
      const id = await this.process();
      process.kill(id, 'SIGKILL');
      return until(() => !isRunning(id));
    }
    const crashed = once(this.page, 'error');
    this.cdp('Page.crash').catch(() => {});
    await crashed;
  }

  /** As the button does. Returns when the page is there again, from the cache or not. */
  async back() {
    await this.evaluate(() => history.back()).catch(() => {});
    await this.#isThere();
  }

  /** As the button does. Returns when the page is there again: the module of the new one runs after it is loaded. */
  async reload() {
    await this.page.reload();
    await this.#isThere();
  }

  #isThere() {
    return until(() => this.evaluate(() => !!globalThis.page).catch(() => false));
  }

  close() {
    return inTurn(() => this.page.close());
  }
}

/** What one case has for itself; it goes with the case. */
export class World {
  #ends = [];
  #opened = 0;
  errors = [];

  constructor(browser) {
    this.browser = browser;
  }

  async start() {
    await this.startPages();
    this.node = await this.addNode();
  }

  /** Without a node. */
  async startPages() {
    this.context = await inTurn(() => this.browser.createBrowserContext());
    this.#ends.push(() => inTurn(() => this.context.close()));
    this.site = await this.addSite();
  }

  async addSite(headers = {}) {
    const site = new Site(headers);
    this.#ends.push(() => site.stop());
    return site.start();
  }

  async addNode() {
    const node = new Node(CONFIG);
    this.#ends.push(() => node.remove());
    await node.start();
    return node;
  }

  /** The node behind a proxy that does not know WebSocket. */
  async addProxy() {
    const proxy = createServer((request, response) => {
      const [host, port] = this.node.address.split(':');
      const onward = ask({ host, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      response.on('close', () => onward.destroy());
      request.pipe(onward);
    });
    proxy.on('upgrade', (_, socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'));
    this.#ends.push(() => {
      proxy.closeAllConnections();
      proxy.close();
    });
    return listen(proxy);
  }

  /** The node behind a link that can be cut, or go dead without a word. New connections are as before. */
  async addRelay() {
    const sockets = new Set();
    const relay = createTcpServer((near) => {
      const [host, port] = this.node.address.split(':');
      const far = connect(Number(port), host);
      for (const [from, to] of [[near, far], [far, near]]) {
        sockets.add(from);
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
      }
    });
    const each = (what) => {
      for (const socket of sockets) what(socket);
      sockets.clear();
    };
    const cut = () => each((socket) => socket.destroy());
    const stall = () => each((socket) => socket.unpipe().pause());
    this.#ends.push(() => {
      cut();
      relay.close();
    });
    return { url: await listen(relay), cut, stall };
  }

  /** Opens a tab with the page. What it is to do is said there. */
  open({ site = this.site, ...options } = {}) {
    const wanted = JSON.stringify({ url: this.node && `http://${this.node.address}`, ...options });
    return this.openAt(`${site.url}/?${encodeURIComponent(wanted)}`);
  }

  async openAt(address) {
    const tab = new Tab(await inTurn(() => this.context.newPage()));
    tab.page.on('pageerror', (error) => {
      // Firefox takes what a policy forbids for an error of the page, which lives with it.
      if (!error.message.startsWith('Content-Security-Policy')) this.errors.push(error);
    });
    // Tabs are told apart by their numbers.
    await tab.page.goto(`${address}#${++this.#opened}`);
    return tab;
  }

  /** Several that are online and subscribed. */
  async openAll(count, options) {
    const tabs = [];
    for (let at = 0; at < count; at++) tabs.push(await this.open(options));
    await Promise.all(tabs.map((tab) => tab.is({ status: 'online' })));
    const wanted = options.channels?.length ?? 0;
    for (const tab of tabs) await until(() => tab.evaluate((wanted) => page.subscribed === wanted, wanted));
    return tabs;
  }

  /** Publishes, one after the other. */
  async publish(channel, ...texts) {
    for (const text of texts) await this.node.publish(channel, 'e', text);
  }

  /** Each of these tabs gets all of these and nothing else. */
  all(tabs, channel, wanted) {
    return Promise.all(tabs.map((tab) => tab.gets(channel, wanted)));
  }

  async end() {
    for (const end of this.#ends.reverse()) await end();
    if (this.errors.length > 0) throw this.errors[0];
  }
}
