// The packed package, installed into an app of a bundler and loaded in two tabs: a message must arrive in both, over one
// connection. The apps are in `clients/bundlers`; COMETQL_APP is one of them beside its installed bundler.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { withBrowser } from './browser.mjs';
import { Node, PATIENCE } from './server.mjs';

const { COMETQL_APP: app, COMETQL_PACKAGE } = process.env;
/** What the documentation says that is enough. */
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' http://127.0.0.1:* ws://127.0.0.1:*";
const TYPES = { html: 'text/html', js: 'text/javascript', wasm: 'application/wasm' };

function run(command, ...given) {
  return execFileSync(command, given, { cwd: app, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Packs and installs the package, then builds the app, with these flags. */
export function build(...flags) {
  const folder = mkdtempSync(join(tmpdir(), 'cometql-pack-'));
  try {
    const [{ filename }] = JSON.parse(execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: dirname(COMETQL_PACKAGE), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
    }));
    for (const old of ['node_modules/cometql', 'node_modules/.vite', 'dist', '.next']) rmSync(join(app, old), { recursive: true, force: true });
    run('npm', 'install', '--silent', '--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  run(process.execPath, 'build.mjs', ...flags);
}

/** Serves a folder of the app as it is, under a strict policy. */
export async function withFiles(folder, test) {
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    const name = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
    try {
      const text = readFileSync(join(app, folder, name));
      response.setHeader('Content-Security-Policy', POLICY);
      response.setHeader('Content-Type', TYPES[name.split('.').pop()] ?? 'text/plain');
      response.end(text);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await test(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Runs the app's own server, which prints its address. */
export async function withServer(test) {
  const child = spawn(process.execPath, ['serve.mjs'], { cwd: app, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    let said = '';
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      said += chunk;
      if (/http:\S+\n/.test(said)) break;
    }
    const [url] = said.match(/http:\S+/);
    await test(url);
  } finally {
    child.kill('SIGKILL');
  }
}

/** Two tabs with the app; each shows these lines when `hello` is published. With the worker, then with a leading tab. */
export async function twoTabs(url, lines) {
  for (const mode of ['worker', 'leader']) await inMode(mode, url, lines);
}

async function inMode(mode, url, lines) {
  const node = new Node();
  try {
    await node.start();
    await withBrowser(async (browser) => {
      const tabs = [await browser.newPage(), await browser.newPage()];
      for (const tab of tabs) {
        tab.setDefaultTimeout(PATIENCE);
        await tab.goto(`${url}?server=${node.address}&mode=${mode}`);
      }
      const together = `[data-state="online ${mode} ${tabs.length * lines.length}"]`;
      for (const tab of tabs) await tab.locator(together).waitFor({ state: 'attached' });
      await node.subscribers('web_bundle', 1);
      await node.publish('web_bundle', '', 'hello');
      for (const tab of tabs) {
        await tab.locator('p').nth(lines.length - 1).waitFor();
        assert.deepEqual((await tab.locator('p').allTextContents()).sort(), lines);
      }
      assert.equal((await node.connections()).length, 1);
    });
    await node.stop();
  } finally {
    node.remove();
  }
}
