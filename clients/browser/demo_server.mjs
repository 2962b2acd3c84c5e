// `cometql demo` for the tests: its own ports and data, which survive a kill.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import { quietPort } from './server.mjs';

export class DemoServer {
  /** `more` are flags. */
  static async start(more) {
    const server = new DemoServer();
    server.folder = await mkdtemp(join(tmpdir(), 'cometql-demos-'));
    server.ports = { http: await quietPort(), mysql: await quietPort(), admin: await quietPort() };
    server.more = more;
    await server.spawn();
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.ports.http}/demo/`;
  }

  /** Starts it, for the first time or again; what it printed is in `said`. */
  async spawn() {
    const ports = Object.entries(this.ports).flatMap(([name, port]) => [`--${name}`, `127.0.0.1:${port}`]);
    this.child = spawn(process.env.COMETQL_BINARY, [
      'demo', ...ports, '--data-dir', this.folder, ...this.more,
    ], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.ended = once(this.child, 'exit');
    this.said = '';
    for await (const chunk of this.child.stdout) {
      this.said += chunk;
      if (this.said.includes('Ctrl-C')) return;
    }
    throw new Error(`the demo ended: ${this.said}`);
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async stop() {
    this.child.kill('SIGTERM');
    const [code] = await this.ended;
    await rm(this.folder, { recursive: true, force: true });
    assert.equal(code, 0, 'the demo stops cleanly');
  }

  /** What a backend's statement gives. */
  async sql(statement, values = []) {
    const [, password] = this.said.match(/-p(\S+)/);
    const connection = await mysql.createConnection({
      host: '127.0.0.1', port: this.ports.mysql, user: 'root', password, database: 'CometQL_v1',
    });
    try {
      const [rows] = await connection.query(statement, values);
      return rows;
    } finally {
      await connection.end();
    }
  }

  /** How many connections of browsers there are. */
  async connections() {
    return (await this.sql('SHOW CONNECTIONS')).length;
  }

  /** Opens a demo, and waits until it is connected. */
  async open(browser, name) {
    const page = await browser.newPage();
    await page.goto(this.url + name);
    await online(page);
    return page;
  }
}

export const online = (page) => page.locator('#status[data-state=online]').waitFor();

/** Until a text is there, as people see it. */
export const see = (page, selector, hasText) => page.locator(selector, { hasText }).first().waitFor();

export const texts = (page, selector) => page.locator(selector).allTextContents();
