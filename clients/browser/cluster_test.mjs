// Pages with the built package, whose nodes are killed while publications go on. `cargo xtask cluster --prove` runs this beside
// a cluster of real programs, and kills and starts the nodes that are named here on the standard output.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import mysql from 'mysql2/promise';
import { launchTrusting, World } from './client_fixture.mjs';
import { until } from './server.mjs';

/** `nodes`: name, http, mysql. `front`: where HAProxy takes browsers. `channels`: any with a history. `key`: of tenant 0. */
const { nodes, front, channels, key } = JSON.parse(process.env.COMETQL_CLUSTER);
/** Between two publications in a channel, in ms: many are under way when a node dies. */
const PACE_MS = 10;
/** So many more come before a node is killed, and after. */
const SOME = 30;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has it done, and returns once it is done. */
async function order(what, { name }) {
  console.log(`${what} ${name}`);
  const { value } = await answers.next();
  assert.equal(value, 'done', `${what} ${name}`);
}

async function logIn({ mysql: address }) {
  const [host, port] = address.split(':');
  return mysql.createConnection({ host, port: Number(port), user: 'root', password: key, database: 'CometQL_v1' });
}

/** Sends 1, 2, 3 … to all channels and users, by statements of one node after the other. */
class Backend {
  sent = 0;
  #over = false;
  #running;
  #connection;
  #next;

  async start(node, users) {
    this.#connection = await logIn(node);
    this.#running = this.#run(users);
    // Whoever waits for something hears of it at the end.
    this.#running.catch(() => {});
  }

  /** From the next number on by this node. Returns once the other one is not needed any more. */
  async use(node) {
    const connection = await logIn(node);
    await new Promise((done) => { this.#next = { connection, done }; });
  }

  async #run(users) {
    while (!this.#over) {
      if (this.#next) {
        const { connection, done } = this.#next;
        this.#next = undefined;
        this.#connection.destroy();
        this.#connection = connection;
        done();
      }
      const text = String(this.sent + 1);
      for (const channel of channels) await this.#connection.execute("INSERT INTO pipes_messages (name, event, message) VALUES (?, 'e', ?)", [channel, text]);
      for (const user of users) await this.#connection.execute("INSERT INTO users_messages (id, event, message) VALUES (?, 'e', ?)", [user, text]);
      this.sent += 1;
      await new Promise((next) => setTimeout(next, PACE_MS));
    }
  }

  /** Everything up to `sent` was answered OK. */
  async stop() {
    this.#over = true;
    await this.#running;
    this.#connection.destroy();
  }

}

/** The node that the page of a user is connected to, as another one tells. */
async function nodeOf(user, asked) {
  const backend = await logIn(asked);
  const [rows] = await backend.query('SHOW CONNECTIONS');
  backend.destroy();
  const names = rows.filter((row) => Number(row.User_id) === user).map((row) => row.Node);
  assert.equal(names.length, 1, `connections of user ${user}`);
  return nodes.find(({ name }) => name === names[0]);
}

const hash = (user) => `hashof${user}`;

/** Waits until the page has got so many more of everything. */
async function getsMore(tab, count) {
  const seen = () => tab.evaluate(() => Math.min(page.inbox.length, ...Object.values(page.messages).map((texts) => texts.length)));
  const before = await seen();
  await until(async () => (await seen()) >= before + count, async () => `${count} more than ${before}: ${await seen()}`);
}

/** The node of a page is killed, and publications go on by another one. */
async function losesItsNode(tab, user, backend) {
  const node = await nodeOf(user, nodes[0]);
  const other = nodes.find((other) => other !== node);
  await backend.use(other);
  await getsMore(tab, SOME);
  await tab.evaluate(() => { page.told.length = 0; });
  await order('kill', node);
  for (const channel of channels) await tab.told('recovered', channel);
  assert.notEqual(await nodeOf(user, other), node, 'it is elsewhere');
  await getsMore(tab, SOME);
  const told = await tab.evaluate(() => page.told);
  assert.deepEqual(told.filter(([type]) => type !== 'recovered'), [], 'nothing else was told');
  await order('start', node);
}

/** All of it, once and in order, and by the same page. */
async function hasEverything(tab, sent, began) {
  const wanted = Array.from({ length: sent }, (_, at) => String(at + 1));
  for (const channel of channels) await tab.gets(channel, wanted);
  await tab.inbox(wanted);
  const page = await tab.evaluate(() => ({ began: globalThis.page.began, states: globalThis.page.states }));
  assert.equal(page.began, began, 'it was not loaded again');
  assert.ok(page.states.includes('offline'), `${page.states}`);
}

const browser = await launchTrusting();
const world = new World(browser);
try {
  await world.startPages();
  const backend = new Backend();
  const ways = [{ urls: nodes.slice(0, 2).map(({ http }) => `http://${http}`) }, { url: `https://${front}` }];
  // Each its own user: of two tabs of one user either may acknowledge.
  const users = ways.map((_, at) => at + 1);
  const before = await logIn(nodes[0]);
  for (const user of users) await before.execute('INSERT INTO users_auth (id, hash) VALUES (?, ?)', [user, hash(user)]);
  before.destroy();
  const tabs = [];
  for (const [at, way] of ways.entries()) {
    const [tab] = await world.openAll(1, { ...way, channels, inbox: 'keep', user: users[at], hash: hash(users[at]) });
    tabs.push({ tab, user: users[at], began: await tab.evaluate(() => page.began) });
  }
  await backend.start(nodes[0], users);
  for (const { tab, user } of tabs) await losesItsNode(tab, user, backend);
  await backend.stop();
  for (const { tab, began } of tabs) await hasEverything(tab, backend.sent, began);
  console.error(`${backend.sent} of everything`);
} finally {
  await world.end();
  await browser.close();
}
process.exit();
