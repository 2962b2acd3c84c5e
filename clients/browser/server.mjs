// A node as a child process, and what tests ask it over its MySQL port.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mysql from 'mysql2/promise';

/** Opens the nodes of browser tests: they live as long as one and listen on loopback only. */
const KEY = 'for tests of browsers only: 32 characters';

let tried = 0;

/**
 * A free port that the system gives to no client (`ip_local_port_range`), and browsers do not refuse. While a node is dead, a
 * client that tries to connect to a port of the system's own range may be given this very port, and then speaks to itself.
 */
export async function quietPort() {
  for (;;) {
    // Who looks at the same time begins at another place.
    const port = 11_000 + (process.pid * 97 + tried++) % 9_000;
    const probe = createServer();
    const isFree = await new Promise((tell) => {
      probe.once('error', () => tell(false)).listen(port, '127.0.0.1', () => tell(true));
    });
    if (isFree) return new Promise((tell) => probe.close(() => tell(port)));
  }
}

/** Own data directory, free ports that stay the same over restarts. */
export class Node {
  #folder = mkdtempSync(join(tmpdir(), 'cometql-browser-'));
  #listen;
  #config = join(this.#folder, 'cometql.toml');
  #child;
  #backend;

  /** `config` = text of the configuration file. */
  constructor(config = '') {
    writeFileSync(this.#config, config);
  }

  /** Returns once it listens; tells whether browsers come over `http` or `https`. */
  async start() {
    this.#listen ??= { http: `127.0.0.1:${await quietPort()}`, mysql: `127.0.0.1:${await quietPort()}` };
    this.#child = spawn(process.env.COMETQL_BINARY, [
      'serve', '--password', KEY, '--log-level', 'warn', '--config', this.#config, '--data-dir', join(this.#folder, 'data'), '--admin', '127.0.0.1:0',
      '--http', this.#listen.http, '--mysql', this.#listen.mysql,
    ], { stdio: ['ignore', 'pipe', 'inherit'] });
    const said = await this.#announcement();
    const [, scheme] = /browsers\s+(\w+):/.exec(said);
    const [host, port] = this.#listen.mysql.split(':');
    this.#backend = await mysql.createConnection({ host, port: Number(port), user: 'root', password: KEY, database: 'CometQL_v1' });
    // It breaks when the node is killed.
    this.#backend.on('error', () => {});
    return scheme;
  }

  get address() {
    return this.#listen.http;
  }

  async #announcement() {
    let text = '';
    for await (const chunk of this.#child.stdout.iterator({ destroyOnReturn: false })) {
      text += chunk;
      if (text.includes('capacity')) return text;
    }
    throw new Error(`the server ended: ${text}`);
  }

  async sql(statement, values = []) {
    const [rows] = await this.#backend.query(statement, values);
    return rows;
  }

  async publish(channel, event, message) {
    await this.#backend.execute('INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)', [channel, event, message]);
  }

  /** Waits until a channel has so many subscribed connections. */
  async subscribers(channel, count) {
    await until(async () => {
      const [row] = await this.sql('SELECT name, users FROM pipes WHERE name = ?', [channel]);
      return Number(row.users) === count;
    });
  }

  /** The connections of pages: all, or those of a user. */
  async connections(user) {
    const rows = await this.sql('SHOW CONNECTIONS');
    return rows.filter((row) => user === undefined || Number(row.User_id) === user);
  }

  /** How often this happened to sessions since the start. */
  async happened(event) {
    const rows = await this.sql('SELECT connection FROM trace WHERE event = ?', [event]);
    return rows.length;
  }

  async stop() {
    this.#backend.destroy();
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const [code] = await ended;
    assert.equal(code, 0, 'the node stops cleanly');
  }

  /** As a power cut of the process: nothing is said to anybody. */
  async kill() {
    this.#backend.destroy();
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  remove() {
    this.#child?.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** How long a test waits for one thing before it says that it never happened, in ms. */
export const PATIENCE = 60_000;

/** Resolves when the condition holds; fails with what `seen` tells when it never does. */
export async function until(condition, seen = () => condition) {
  const end = Date.now() + PATIENCE;
  while (!(await condition())) {
    if (Date.now() > end) assert.fail(`it never became true: ${await seen()}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}
