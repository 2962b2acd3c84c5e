// What users of the original's JavaScript clients do, in the order in which a page meets it. `cometql/legacy` tells the same.
import assert from 'node:assert/strict';
import { withLegacy, withOriginal } from './original.mjs';
import { until } from './server.mjs';

/** Payloads, and what the clients make of them: JSON becomes its value, other text loses its backslashes in the original. */
const payloads = (backslash) => [
  ['plain', 'plain'],
  ["it's \"quoted\" 🎉\nтекст", "it's \"quoted\" 🎉\nтекст"],
  ['a\\b', `a${backslash}b`],
  ['5', 5],
  [`{"a":"it's \\\\' \\n \\u0441","b":[1,2.5,null]}`, { a: "it's \\' \n с", b: [1, 2.5, null] }],
  // The original corrupted frames of 123 to 125 bytes and lost those over 65,535.
  ...[10, 20, 30, 40, 50, 60, 70_000].map((size) => ['x'.repeat(size), 'x'.repeat(size)]),
];

const ids = (members) => members.map((member) => member.user_id).sort();

/**
 * `digest` = SHA-256 of the client's text, without one it is the package's; the rest is where the clients differ by their own code.
 */
export function story({ digest, tabsShare, hasUserData, logEntries }) {
  const expected = payloads(digest ? '' : '\\');
  const withClient = digest ? (test) => withOriginal(digest, test) : withLegacy;
  return withClient(async (node, open) => {
    await node.sql("INSERT INTO users_auth (id, hash) VALUES (7, 'hash7'), (8, 'hash8'), (9, 'hash9')");
    const alice = await open(0, { user_id: 7, user_key: 'hash7' });
    const bob = await open(1, { user_id: 8, user_key: 'hash8', dev_id: 0 });
    await logIn(alice);
    await receive(node, alice, expected);
    await publish(node, alice, bob, expected.length);
    await ask(node, alice, bob, { hasUserData, logEntries });
    await restart(node, alice, bob);
    await privateMessages(node, alice);
    await comeBack(node, alice, bob);
    await wrongKey(node, alice);
    await tabs(node, open, tabsShare, !!digest);
    await leave(node, alice, bob);
  });
}

async function logIn(alice) {
  await alice.seen('yes', 1);
  assert.equal(await alice.call('isAuthorized'), true);
  assert.equal(await alice.call('getRealUserKey'), 'hash7');
}

async function receive(node, alice, expected) {
  await alice.subscribe('web_a', 'web_a.new', 'track_a', 'msg', 'msg.ev', '#web_a');
  await node.subscribers('web_a', 1);
  for (const [text] of expected) await node.publish('web_a', 'new', text);
  await node.publish('web_a', 'other', 'last');
  const messages = await alice.seen('web_a', expected.length + 1);
  assert.deepEqual(messages.map((message) => message.data), [...expected.map(([, value]) => value), 'last']);
  const info = { user_id: 0, pipe: 'web_a', event: 'other', history: false };
  assert.deepEqual(messages.at(-1).server_info, info);
  assert.equal((await alice.seen('web_a.new', expected.length)).length, expected.length);
}

async function publish(node, alice, bob, before) {
  await bob.subscribe('web_a', 'track_a', '#web_a', 'user_status_9');
  const joined = await alice.last('track_a', 1);
  assert.equal(joined.server_info.event, 'subscription');
  assert.deepEqual(joined.data, { user_id: 8, uuid: await bob.call('getUUID') });
  await node.subscribers('user_status_9', 1);

  const message = { text: `it's "${'y'.repeat(70)}" \\ \n` };
  await bob.call('web_pipe_send', 'web_a', 'new', message);
  const live = await alice.last('web_a', before + 2);
  assert.deepEqual(live, { data: message, server_info: { user_id: 8, pipe: 'web_a', event: 'new', history: false } });
  // The report to the publisher, which does not get its own publication.
  const report = await bob.last('#web_a', 1);
  assert.equal(report.data.number_messages, 1);
  assert.deepEqual(JSON.parse(report.data.message), message);
  await bob.call('web_pipe_send', 'web_a.new', 'short');
  assert.equal((await alice.last('web_a', before + 3)).data, 'short');
  await alice.call('web_pipe_send', 'web_a', 'new', 'back');
  assert.equal((await bob.last('web_a', 1)).data, 'back');
}

async function ask(node, alice, bob, { hasUserData, logEntries }) {
  await bob.listen('count', 'count_users_in_pipe', 'web_a');
  assert.deepEqual((await bob.last('count', 1)).data, { user_in_pipe: 2 });
  await bob.listen('users', 'getTrackPipeUsers', 'track_a');
  assert.deepEqual(ids((await bob.last('users', 1)).data), [7, 8]);
  await alice.listen('users', 'getTrackPipeUsers', 'track_a');
  assert.deepEqual(ids((await alice.last('users', 1)).data), [7, 8]);

  await node.sql("INSERT INTO pipes_settings (name, length) VALUES ('web_log', 10)");
  for (const text of ['one', 'two']) await node.publish('web_log', 'e', text);
  await alice.listen('log', 'get_pipe_log', 'web_log');
  const log = await alice.seen('log', logEntries.length);
  assert.deepEqual(log.map((entry) => [entry.data, entry.server_info.history]), logEntries.map((text) => [text, true]));

  if (hasUserData) {
    await node.sql("INSERT INTO users_data (id, data) VALUES (9, '{\"name\":\"O\\'Hara\"}')");
    await bob.listen('data', 'getUserData', 9);
    assert.deepEqual((await bob.last('data', 1)).data, { user_data: '{"name":"O\'Hara"}', user_id: 9 });
  }
}

/** As after a log-in on the page: another user, the same subscriptions. */
async function restart(node, alice, bob) {
  const before = (await alice.seen('web_a', 1)).length;
  await alice.call('restart', { user_id: 9, user_key: 'hash9' });
  await bob.seen('user_status_9', 1);
  const events = async (count) => (await bob.seen('track_a', count)).slice(-2)
    .map((message) => [message.server_info.event, message.data.user_id]);
  assert.deepEqual(await events(2), [['unsubscription', 7], ['subscription', 9]]);
  assert.equal((await bob.last('user_status_9', 1)).data, 'online');
  assert.equal(await alice.call('getRealUserKey'), 'hash9');
  await node.subscribers('web_a', 2);
  await node.publish('web_a', 'new', 'after restart');
  assert.equal((await alice.last('web_a', before + 1)).data, 'after restart');
}

async function privateMessages(node, alice) {
  await node.sql("INSERT INTO users_messages (id, event, message) VALUES (9, 'ev', '{\"q\":1}')");
  const message = await alice.last('msg', 1);
  assert.deepEqual(message, { data: { q: 1 }, server_info: { user_id: 0, pipe: 'msg', event: 'ev', history: false } });
  await alice.last('msg.ev', 1);
}

/** The connection is lost (KILL), then the whole node restarts: both clients come back by themselves. */
async function comeBack(node, alice, bob) {
  const before = { alice: (await alice.seen('web_a', 1)).length, bob: (await bob.seen('web_a', 1)).length };
  const [{ Id: id }] = await node.connections(9);
  await node.sql(`KILL ${id}`);
  await node.sql("INSERT INTO users_messages (id, event, message) VALUES (9, 'ev', 'while away')");
  assert.equal((await alice.last('msg', 2)).data, 'while away');
  await node.stop();
  await node.start();
  await node.subscribers('web_a', 2);
  await node.publish('web_a', 'new', 'after the stop');
  assert.equal((await alice.last('web_a', before.alice + 1)).data, 'after the stop');
  assert.equal((await bob.last('web_a', before.bob + 1)).data, 'after the stop');
}

/** A wrong key is no error: the page goes on as nobody. */
async function wrongKey(node, alice) {
  const before = (await alice.seen('web_a', 1)).length;
  await alice.call('restart', { user_id: 9, user_key: 'wrong' });
  await alice.seen('no', 1);
  assert.equal(await alice.call('isAuthorized'), false);
  await node.subscribers('web_a', 2);
  await node.publish('web_a', 'new', 'for nobody');
  assert.equal((await alice.last('web_a', before + 1)).data, 'for nobody');
}

/**
 * Two tabs of one origin. With 3.25 they share a connection, and when its tab is closed the other one opens its own; in a worker
 * the connection stays.
 */
async function tabs(node, open, tabsShare, isTabs) {
  const options = { user_id: 7, user_key: 'hash7' };
  const first = await open(2, options);
  const second = await open(2, options);
  for (const tab of [first, second]) {
    await tab.subscribe('web_tabs');
    await tab.is('isAuthorized', true);
  }
  await node.subscribers('web_tabs', tabsShare ? 1 : 2);
  await node.publish('web_tabs', 'e', 'for both');
  for (const tab of [first, second]) assert.equal((await tab.last('web_tabs', 1)).data, 'for both');
  const before = await node.connections(7);
  assert.equal(before.length, tabsShare ? 1 : 2);
  // A tab of 3.25 notices that the one with the connection has gone only if it has heard from it twice.
  if (tabsShare && isTabs) await second.signals('comet_msg_master_signal', 2);
  await first.tab.close();
  await until(async () => {
    const now = await node.connections(7);
    return now.length === 1 && (!tabsShare || (now[0].Id !== before[0].Id) === isTabs);
  });
  await node.subscribers('web_tabs', 1);
  await node.publish('web_tabs', 'e', 'for one');
  assert.equal((await second.last('web_tabs', 2)).data, 'for one');
}

async function leave(node, alice, bob) {
  const before = (await alice.seen('track_a', 1)).length;
  await bob.call('stop');
  const left = await alice.last('track_a', before + 1);
  assert.deepEqual([left.server_info.event, left.data.user_id], ['unsubscription', 8]);
  await node.subscribers('web_a', 1);
}
