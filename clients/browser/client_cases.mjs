// What the browser client promises, case by case. Without `browsers` a case is for all of them.
import assert from 'node:assert/strict';
import { token } from './client_fixture.mjs';
import { until } from './server.mjs';

const CHROMIUM = ['chromium'];
const FIREFOX = ['firefox'];

/** What no tab may change: one connection ever, and one subscription of it. */
async function sharesOne(node, channel) {
  assert.equal((await node.connections()).length, 1, 'connections');
  assert.equal(await node.happened('connected'), 1, 'connections ever');
  assert.equal(await node.happened('subscribed'), 1, 'subscriptions ever');
  const rows = await node.sql('SELECT user_id FROM users_in_pipes WHERE name = ?', [channel]);
  assert.equal(rows.length, 1, 'subscribed connections');
}

export const cases = [
  {
    name: 'five tabs: one connection, one subscription, each message once in each tab',
    async run(world) {
      const tabs = await world.openAll(5, { channels: ['web_a'] });
      for (const tab of tabs) await tab.is({ mode: 'worker', transport: 'websocket', tabs: 5 });
      await world.publish('web_a', '1', '2', '3');
      await world.all(tabs, 'web_a', ['1', '2', '3']);
      await sharesOne(world.node, 'web_a');
    },
  },
  {
    name: 'tabs are closed, the creator of the worker first',
    async run(world) {
      const tabs = await world.openAll(3, { channels: ['web_a'] });
      await world.publish('web_a', '1');
      await world.all(tabs, 'web_a', ['1']);
      await tabs.shift().close();
      await world.publish('web_a', '2');
      await world.all(tabs, 'web_a', ['1', '2']);
      await tabs.shift().close();
      await tabs[0].is({ tabs: 1 });
      await world.publish('web_a', '3');
      await world.all(tabs, 'web_a', ['1', '2', '3']);
      await sharesOne(world.node, 'web_a');
    },
  },
  {
    name: 'a tab crashes',
    async run(world) {
      const tabs = await world.openAll(3, { channels: ['web_a'] });
      await tabs.pop().crash();
      await world.publish('web_a', '1');
      await world.all(tabs, 'web_a', ['1']);
      await sharesOne(world.node, 'web_a');
    },
  },
  {
    name: 'the tab that created the worker crashes',
    async run(world) {
      const tabs = await world.openAll(3, { channels: ['durable:a'] });
      await world.publish('durable:a', '1');
      await world.all(tabs, 'durable:a', ['1']);
      await tabs.shift().crash();
      await world.publish('durable:a', '2');
      await world.all(tabs, 'durable:a', ['1', '2']);
    },
  },
  {
    name: 'the node is killed and back: a durable channel recovers, nothing is missing or doubled',
    async run(world) {
      const { node } = world;
      const tabs = await world.openAll(2, { channels: ['durable:a'] });
      await world.publish('durable:a', '1', '2');
      await world.all(tabs, 'durable:a', ['1', '2']);
      await node.kill();
      for (const tab of tabs) await tab.is({ status: 'offline' });
      await node.start();
      await world.publish('durable:a', '3', '4');
      await world.all(tabs, 'durable:a', ['1', '2', '3', '4']);
      for (const tab of tabs) await tab.told('recovered', 'durable:a');
      await sharesOne(node, 'durable:a');
    },
  },
  {
    name: 'a window that a restart has lost is a gap',
    async run(world) {
      const [tab] = await world.openAll(1, { channels: ['web_a'] });
      await world.publish('web_a', '1');
      await tab.gets('web_a', ['1']);
      await world.node.kill();
      await world.node.start();
      await tab.told('gap', 'web_a');
      await world.publish('web_a', '3');
      await tab.gets('web_a', ['1', '3']);
    },
  },
  {
    name: 'KILL ends the connection for good, until the page connects again',
    async run(world) {
      const { node } = world;
      const [tab] = await world.openAll(1, { channels: ['web_a'] });
      const [{ Id: id }] = await node.connections();
      await node.sql(`KILL ${id}`);
      await tab.stops('killed');
      await world.publish('web_a', '1');
      await tab.evaluate(() => page.client.reconnect());
      await tab.is({ status: 'online' });
      await tab.gets('web_a', ['1']);
    },
  },
  {
    name: 'a lost connection recovers a window',
    async run(world) {
      const relay = await world.addRelay();
      const [tab] = await world.openAll(1, { url: relay.url, channels: ['web_a'] });
      await world.publish('web_a', '1');
      await tab.gets('web_a', ['1']);
      relay.cut();
      await world.publish('web_a', '2');
      await tab.gets('web_a', ['1', '2']);
      await tab.told('recovered', 'web_a');
    },
  },
  {
    name: 'a link that carries nothing any more is noticed by pings',
    async run(world) {
      const relay = await world.addRelay();
      const [tab] = await world.openAll(1, { url: relay.url, channels: ['web_a'], timing: { pingMs: 1000, pongMs: 1000 } });
      relay.stall();
      await world.publish('web_a', '1');
      await tab.gets('web_a', ['1']);
      await tab.told('recovered', 'web_a');
    },
  },
  {
    name: 'two nodes: when one is killed, the other one takes over at once, and what it does not have is told as a gap',
    async run(world) {
      const nodes = [world.node, await world.addNode()];
      const urls = nodes.map((node) => `http://${node.address}`);
      // Who waited before the next node would not be back while this test runs.
      const timing = { backoffMs: 3_600_000, backoffMostMs: 3_600_000 };
      const channels = ['web_a', 'durable:a'];
      const tabs = await world.openAll(2, { urls, channels, timing });
      const counts = await Promise.all(nodes.map(async (node) => (await node.connections()).length));
      assert.deepEqual(counts.toSorted(), [0, 1], 'tabs share a connection to one of them');
      const [from, to] = counts[0] ? nodes : nodes.toReversed();
      for (const channel of channels) {
        await from.publish(channel, 'e', 'over there');
        await world.all(tabs, channel, ['over there']);
      }
      await from.kill();
      for (const channel of channels) await to.subscribers(channel, 1);
      for (const tab of tabs) {
        for (const channel of channels) await tab.told('gap', channel);
        const { states, told } = await tab.evaluate(() => ({ states: page.states, told: page.told }));
        assert.deepEqual(states.slice(states.indexOf('online')), ['online', 'offline', 'connecting', 'online']);
        assert.deepEqual(told.toSorted(), [['gap', 'durable:a'], ['gap', 'web_a']]);
      }
      for (const channel of channels) {
        await to.publish(channel, 'e', 'over here');
        await world.all(tabs, channel, ['over there', 'over here']);
      }
      assert.equal((await to.connections()).length, 1, 'connections');
      assert.equal(await to.happened('connected'), 1, 'connections ever');
    },
  },
  {
    name: 'a page goes into the back-forward cache and comes back',
    async run(world) {
      const [first, second] = await world.openAll(2, { channels: ['web_a'] });
      await world.publish('web_a', '1');
      await world.all([first, second], 'web_a', ['1']);
      await first.page.goto(`${world.site.url}/another`);
      await second.is({ tabs: 1 });
      await world.publish('web_a', '2', '3');
      await second.gets('web_a', ['1', '2', '3']);
      await first.back();
      await first.gets('web_a', ['1', '2', '3']);
      assert.equal(await first.evaluate(() => page.restored), 1, 'times that pageshow was persisted');
      await first.told('recovered', 'web_a');
      await world.publish('web_a', '4');
      await world.all([first, second], 'web_a', ['1', '2', '3', '4']);
      await first.is({ tabs: 2 });
      assert.equal(await world.node.happened('connected'), 1, 'connections ever');
    },
  },
  {
    name: 'a page is left and opened again with the back button',
    async run(world) {
      const [first, second] = await world.openAll(2, { channels: ['web_a'], remember: true });
      await world.publish('web_a', '1');
      await world.all([first, second], 'web_a', ['1']);
      await first.page.goto(`${world.site.url}/another`);
      await second.is({ tabs: 1 });
      await world.publish('web_a', '2');
      await first.back();
      await first.is({ tabs: 2 });
      await world.publish('web_a', '3');
      const restored = await first.evaluate(() => page.restored);
      await first.gets('web_a', restored ? ['1', '2', '3'] : ['2', '3']);
      await second.gets('web_a', ['1', '2', '3']);
    },
  },
  {
    name: 'the only page is reloaded and goes on from where it was',
    async run(world) {
      const [tab] = await world.openAll(1, { channels: ['web_a'], remember: true });
      await world.publish('web_a', '1', '2');
      await tab.gets('web_a', ['1', '2']);
      await tab.reload();
      await world.publish('web_a', '3');
      await tab.gets('web_a', ['3']);
      await tab.page.goto(`${world.site.url}/another`);
      await world.publish('web_a', '4');
      await tab.back();
      await world.publish('web_a', '5');
      const restored = await tab.evaluate(() => page.restored);
      await tab.gets('web_a', restored ? ['3', '4', '5'] : ['4', '5']);
    },
  },
  {
    name: 'a tab is frozen and wakes up',
    async run(world) {
      const [first, frozen] = await world.openAll(2, { channels: ['web_a'] });
      await frozen.freeze();
      await world.publish('web_a', '1', '2', '3');
      await first.gets('web_a', ['1', '2', '3']);
      await frozen.thaw();
      await frozen.gets('web_a', ['1', '2', '3']);
      await sharesOne(world.node, 'web_a');
    },
  },
  {
    name: 'the tab that created the worker is frozen',
    browsers: CHROMIUM,
    async run(world) {
      const [frozen, second] = await world.openAll(2, { channels: ['web_a'] });
      await frozen.freeze();
      await world.publish('web_a', '1', '2', '3');
      await second.gets('web_a', ['1', '2', '3']);
      await frozen.thaw();
      await frozen.gets('web_a', ['1', '2', '3']);
      await sharesOne(world.node, 'web_a');
    },
  },
  {
    name: 'the process of the tab that created the worker stands still, and the worker with it: others go on without',
    browsers: FIREFOX,
    async run(world) {
      const [frozen, ...others] = await world.openAll(3, { channels: ['durable:a'] });
      await frozen.freeze();
      await world.publish('durable:a', '1', '2');
      await world.all(others, 'durable:a', ['1', '2']);
      for (const tab of others) await tab.is({ mode: 'leader', tabs: 2 });
      await frozen.thaw();
      await world.publish('durable:a', '3');
      await world.all([frozen, ...others], 'durable:a', ['1', '2', '3']);
    },
  },
  {
    name: 'a tab that does not read costs others nothing, and catches up',
    async run(world) {
      const { node } = world;
      const [other, slow] = await world.openAll(2, { channels: ['durable:a'] });
      await slow.freeze();
      // More than may wait for one tab.
      const texts = Array.from({ length: 5000 }, (_, at) => String(at));
      const rows = texts.map((text) => ['durable:a', 'e', text]);
      await node.sql('INSERT INTO pipes_messages (name, event, message) VALUES ?', [rows]);
      await other.gets('durable:a', texts);
      await slow.thaw();
      await slow.gets('durable:a', texts);
      await slow.is({ tabs: 2 });
      assert.equal(await node.happened('connected'), 1);
      assert.ok(await node.happened('subscribed') > 1, 'it was forgotten, and went on from its position');
    },
  },
  {
    name: 'a token is renewed before it ends, and a revoked one ends the session until the page connects again',
    async run(world) {
      const { node, site } = world;
      site.token = () => token(7, 16);
      const [tab] = await world.openAll(1, { tokens: true, channels: ['web_a'], timing: { refreshMs: 14_000 } });
      await until(() => site.given.length >= 3);
      await until(async () => await node.happened('authenticated') >= 3);
      assert.equal(await node.happened('connected'), 1, 'the session goes on');
      site.token = () => token(7, 3600);
      await until(() => site.given.at(-1).length && node.happened('authenticated').then((times) => times === site.given.length));
      await node.sql('INSERT INTO revoked_tokens (token) VALUES (?)', [site.given.at(-1)]);
      await tab.stops('revoked');
      await tab.evaluate(() => page.client.reconnect());
      await tab.is({ status: 'online', error: undefined });
      await world.publish('web_a', '1');
      await tab.gets('web_a', ['1']);
    },
  },
  {
    name: 'a token that nobody renews ends the session',
    async run(world) {
      world.site.token = () => token(7, 15);
      const [tab] = await world.openAll(1, { tokens: 'once', channels: ['web_a'] });
      await tab.stops('token_expired');
    },
  },
  {
    name: 'a token that the server does not take is refused',
    async run(world) {
      const tab = await world.open({ token: `${token(7, 3600)}x` });
      await tab.stops('unauthorized');
    },
  },
  {
    name: 'two users in two tabs have a connection each',
    async run(world) {
      const { node } = world;
      await node.sql("INSERT INTO users_auth (id, hash) VALUES (7, 'hash7'), (8, 'hash8')");
      const tabs = [];
      for (const user of [7, 8]) tabs.push(...await world.openAll(1, { user, hash: `hash${user}`, inbox: 'keep' }));
      for (const user of [7, 8]) {
        assert.equal((await node.connections(user)).length, 1, `connections of ${user}`);
        await node.sql('INSERT INTO users_messages (id, event, message) VALUES (?, ?, ?)', [user, 'e', `for ${user}`]);
      }
      await tabs[0].inbox(['for 7']);
      await tabs[1].inbox(['for 8']);
      for (const tab of tabs) await tab.is({ mode: 'worker', tabs: 1 });
    },
  },
  {
    name: 'a policy forbids workers: a leading tab holds the connection, and others take over from it',
    async run(world) {
      const site = await world.addSite({ 'Content-Security-Policy': "worker-src 'none'" });
      const tabs = await world.openAll(3, { site, channels: ['web_a'] });
      for (const tab of tabs) await tab.is({ mode: 'leader', tabs: 3 });
      await world.publish('web_a', '1');
      await world.all(tabs, 'web_a', ['1']);
      await sharesOne(world.node, 'web_a');
      await tabs.shift().close();
      await world.publish('web_a', '2', '3');
      await world.all(tabs, 'web_a', ['1', '2', '3']);
      for (const tab of tabs) await tab.is({ mode: 'leader', tabs: 2, status: 'online' });
      assert.equal((await world.node.connections()).length, 1, 'connections');
    },
  },
  {
    name: 'the policy of the documentation is enough',
    async run(world) {
      const { address } = world.node;
      // The test's page has its script within.
      const scripts = "script-src 'self' 'wasm-unsafe-eval' 'unsafe-inline'";
      const policy = `default-src 'none'; ${scripts}; worker-src 'self'; connect-src 'self' http://${address} ws://${address}`;
      const site = await world.addSite({ 'Content-Security-Policy': policy });
      for (const mode of ['worker', 'leader', 'page']) {
        const [tab] = await world.openAll(1, { site, mode, channels: ['web_a'] });
        await tab.is({ mode });
        await tab.close();
      }
    },
  },
  {
    name: 'a policy forbids WebAssembly: that is told',
    async run(world) {
      const site = await world.addSite({ 'Content-Security-Policy': "script-src 'self' 'unsafe-inline'" });
      const tab = await world.open({ site });
      await tab.stops('start_failed', 'ConnectionError');
    },
  },
  {
    name: 'a plain script: callbacks, loops, signals that abort, errors with classes and codes',
    async run(world) {
      const tab = await world.openAt(`${world.site.url}/plain?${encodeURIComponent(`http://${world.node.address}`)}`);
      await world.node.subscribers('web_a', 1);
      await tab.evaluate(() => subscription.ready);
      await world.publish('web_a', '1', '2');
      const got = (name, wanted) => until(
        async () => (await tab.evaluate((name) => page[name]?.join(), name)) === wanted,
        async () => `${name}: ${JSON.stringify(await tab.evaluate(() => page))}`,
      );
      for (const name of ['called', 'looped']) await got(name, '1,2');
      await tab.evaluate(() => stop.abort());
      await world.publish('web_a', '3');
      await got('called', '1,2,3');
      await got('looped', '1,2');
      await got('aborted', 'AbortError,AbortError');
      await got('refused', 'true,bad_name,no');
      assert.equal(await tab.evaluate(() => client.state.mode), 'worker');
    },
  },
  {
    name: 'the worker can not be loaded: a leading tab holds the connection',
    async run(world) {
      const tabs = await world.openAll(2, { workerUrl: '/missing.js', channels: ['web_a'] });
      for (const tab of tabs) await tab.is({ mode: 'leader', tabs: 2 });
      await world.publish('web_a', '1');
      await world.all(tabs, 'web_a', ['1']);
      await sharesOne(world.node, 'web_a');
    },
  },
  {
    name: 'the leading tab is frozen: another one takes over, and it follows when it wakes up',
    async run(world) {
      const { node } = world;
      const tabs = await world.openAll(3, { mode: 'leader', channels: ['web_a'] });
      for (const tab of tabs) await tab.is({ tabs: 3 });
      await tabs[0].freeze();
      await world.publish('web_a', '1', '2');
      await world.all(tabs.slice(1), 'web_a', ['1', '2']);
      await tabs[0].thaw();
      await world.all(tabs, 'web_a', ['1', '2']);
      for (const tab of tabs) await tab.is({ tabs: 3 });
      await until(async () => (await node.connections()).length === 1);
    },
  },
  {
    name: 'the leading tab crashes',
    async run(world) {
      const tabs = await world.openAll(3, { mode: 'leader', channels: ['web_a'] });
      for (const tab of tabs) await tab.is({ tabs: 3 });
      await tabs.shift().crash();
      await world.publish('web_a', '1', '2');
      await world.all(tabs, 'web_a', ['1', '2']);
    },
  },
  {
    name: 'neither workers nor Web Locks: each page has its own connection',
    async run(world) {
      const tabs = await world.openAll(2, { without: ['SharedWorker', 'locks'], channels: ['web_a'] });
      for (const tab of tabs) await tab.is({ mode: 'page', tabs: 1 });
      await world.node.subscribers('web_a', 2);
      await world.publish('web_a', '1');
      await world.all(tabs, 'web_a', ['1']);
    },
  },
  {
    name: 'a proxy lets no WebSocket through: an event stream serves, for all tabs',
    async run(world) {
      const url = await world.addProxy();
      const tabs = await world.openAll(2, { url, channels: ['web_a'] });
      for (const tab of tabs) await tab.is({ mode: 'worker', transport: 'sse', tabs: 2 });
      await world.publish('web_a', '1', '2');
      await world.all(tabs, 'web_a', ['1', '2']);
      const reached = await tabs[0].evaluate(() => page.client.publish('web_a', 'from a tab'));
      assert.equal(reached.reached, 0, 'nobody but the sender is subscribed');
      assert.equal((await world.node.connections()).length, 1);
    },
  },
  {
    name: 'a private message counts as received after its handler ran; one that threw comes again',
    async run(world) {
      const { node } = world;
      await node.sql("INSERT INTO users_auth (id, hash) VALUES (7, 'hash7')");
      const who = { user: 7, hash: 'hash7' };
      const send = (text) => node.sql('INSERT INTO users_messages (id, event, message) VALUES (7, ?, ?)', ['e', text]);
      await send('one');
      const relay = await world.addRelay();
      const [tab] = await world.openAll(1, { ...who, url: relay.url, inbox: 'throw' });
      await tab.inbox(['one']);
      await tab.told('error', 'handler_failed');
      assert.equal(await node.happened('acknowledged'), 0, 'acknowledged although it threw');
      relay.cut();
      await tab.inbox(['one', 'one']);
      await until(() => node.happened('acknowledged'));
      await tab.reload();
      await tab.is({ status: 'online' });
      await send('two');
      await tab.inbox(['two']);
    },
  },
];
