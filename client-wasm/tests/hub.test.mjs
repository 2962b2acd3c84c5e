// The border: what JavaScript gives reaches the session, and what the session causes reaches JavaScript. What the session
// decides is tested in `protocol`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'node:test';

const folder = process.env.COMETQL_WASM;
const { Hub, initSync } = await import(pathToFileURL(join(folder, 'cometql.js')));
initSync({ module: readFileSync(join(folder, 'cometql_bg.wasm')) });

const METHODS = [
  'openSocket', 'closeSocket', 'send', 'setTimer', 'askForToken', 'state', 'subscribed', 'recovered', 'gap', 'unsubscribed',
  'publication', 'presence', 'message', 'answer', 'refused', 'error',
];
const EPOCH = '00000000000000ff';

/** A hub and all that it caused since the last look, timers apart. */
function world(settings = {}) {
  const calls = [];
  const shell = {};
  for (const method of METHODS) shell[method] = (...given) => calls.push([method, ...given]);
  shell.setTimer = (at) => { all.timer = at; };
  const hub = new Hub(shell, { urls: 1, asksForTokens: false, ...settings }, 'browser-1');
  const all = { hub, timer: Infinity, look: () => calls.splice(0) };
  return all;
}

/** One that is online, with tab 1, at 1,000 ms. */
function online() {
  const all = world();
  all.hub.joined(1000, 1);
  all.hub.open(1000);
  all.hub.opened(1000, 1);
  all.hub.text(1000, 1, '{"id":1,"connected":{"session":9}}');
  all.look();
  return all;
}

/** What was sent since the last look, as objects. */
const sent = (calls) => calls.filter(([method]) => method === 'send').flatMap(([, text]) => text.split('\n').map((line) => JSON.parse(line)));

/** The socket that was opened since the last look. */
const opened = (calls) => calls.find(([method]) => method === 'openSocket')[1];

test('connects, logs in and tells its tabs', () => {
  const { hub, look } = world();
  hub.joined(1000, 1);
  hub.open(1000);
  assert.deepEqual(look(), [
    ['state', 1, 'stopped', 0, 'closed', 'the session is closed'],
    ['openSocket', 1, 0],
    ['state', 1, 'connecting', 0, '', ''],
  ]);
  hub.opened(1000, 1);
  hub.text(1000, 1, '{"id":1,"connected":{"session":9}}');
  assert.deepEqual(look(), [
    ['send', '{"id":1,"connect":{"inbox":false,"uuid":"browser-1"}}'],
    ['state', 1, 'connecting', 0, '', ''],
    ['state', 1, 'online', 0, '', ''],
  ]);
  hub.close(2000);
  assert.deepEqual(look(), [['closeSocket', 1], ['state', 1, 'stopped', 0, 'closed', 'the session is closed']]);
});

test('a subscription survives its connection', () => {
  const all = online();
  const { hub, look } = all;
  hub.subscribe(1000, 1, 'web_a', '', 0);
  assert.deepEqual(sent(look()), [{ id: 2, subscribe: { channel: 'web_a' } }]);
  hub.text(1000, 1, `{"id":2,"subscribed":{"channel":"web_a","epoch":"${EPOCH}","offset":5,"recovered":false,"replayed":0}}`);
  const push = '{"push":"publication","channel":"web_a","data":"é😀","offset":6,"previous":5,"time":1}';
  hub.text(1000, 1, push);
  hub.text(1000, 1, '{"push":"join","channel":"web_a","member":{"uuid":"x"}}');
  assert.deepEqual(look(), [
    ['subscribed', 1, 'web_a', EPOCH, 5, false],
    ['publication', 1, 'web_a', EPOCH, 6, push],
    ['presence', 1, 'web_a', '{"push":"join","channel":"web_a","member":{"uuid":"x"}}'],
  ]);
  hub.closed(20_000, 1, 1006, '');
  const [closed, [, , word, at]] = look();
  assert.deepEqual(closed, ['closeSocket', 1]);
  assert.equal(word, 'offline');
  assert.ok(at >= 20_000 && at < 20_500, `${at}`);
  assert.equal(all.timer, at);
  hub.time(at);
  const socket = opened(look());
  hub.opened(at, socket);
  hub.text(at, socket, '{"id":3,"connected":{"session":10}}');
  assert.deepEqual(sent(look()).at(-1), { id: 4, subscribe: { channel: 'web_a', epoch: EPOCH, offset: 6 } });
  hub.text(at, socket, `{"id":4,"subscribed":{"channel":"web_a","epoch":"${EPOCH}","offset":6,"recovered":true,"replayed":0}}`);
  assert.deepEqual(look(), [['recovered', 1, 'web_a']]);
});

test('a tab brings its position, and learns that something is lost', () => {
  const { hub, look } = online();
  hub.subscribe(1000, 1, 'web_a', EPOCH, 3);
  assert.deepEqual(sent(look()), [{ id: 2, subscribe: { channel: 'web_a', epoch: EPOCH, offset: 3 } }]);
  hub.text(1000, 1, `{"id":2,"subscribed":{"channel":"web_a","epoch":"${EPOCH}","offset":9,"recovered":true,"replayed":0}}`);
  hub.closed(1000, 1, 4000, 'restart retry_after_ms=70');
  assert.deepEqual(look(), [
    ['subscribed', 1, 'web_a', EPOCH, 9, true],
    ['closeSocket', 1],
    ['state', 1, 'offline', 1070, '', ''],
  ]);
  hub.time(1070);
  const socket = opened(look());
  hub.opened(1070, socket);
  hub.text(1070, socket, '{"id":3,"connected":{"session":10}}');
  look();
  hub.text(1070, socket, '{"id":4,"subscribed":{"channel":"web_a","epoch":"00000000000000aa","offset":2,"recovered":false,"replayed":0}}');
  assert.deepEqual(look(), [['gap', 1, 'web_a', '00000000000000aa', 2]]);
  hub.text(1070, socket, '{"push":"unsubscribed","channel":"web_a","error":{"code":"permission_denied","message":"no"}}');
  assert.deepEqual(look(), [['unsubscribed', 1, 'web_a', 'permission_denied', 'no']]);
});

test('calls and their answers', () => {
  const { hub, look } = online();
  hub.publish(1000, 1, 7, 'web_"a', 'said', '{"a":"\\n"}', '');
  hub.presence(1000, 1, 8, 'web_a');
  hub.presenceCount(1000, 1, 9, 'web_a');
  hub.history(1000, 1, 10, 'web_a', EPOCH, 4, 3);
  hub.history(1000, 1, 11, 'web_a', '', 0, 0);
  hub.userData(1000, 1, 12, 2 ** 53 - 1);
  hub.userStatus(1000, 1, 13, 2);
  let calls = look();
  const [publish, ...questions] = sent(calls);
  const { id, ...content } = publish.publish;
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(content, { channel: 'web_"a', event: 'said', data: { a: '\n' } });
  assert.deepEqual(questions, [
    { id: 3, presence: { channel: 'web_a' } },
    { id: 4, presence_count: { channel: 'web_a' } },
    { id: 5, history: { channel: 'web_a', epoch: EPOCH, offset: 4, limit: 3 } },
    { id: 6, history: { channel: 'web_a' } },
    { id: 7, user_data: { user: 2 ** 53 - 1 } },
    { id: 8, user_status: { user: 2 } },
  ]);
  hub.text(1000, 1, '{"id":2,"error":{"code":"rate_limited","message":"too fast","retry_after_ms":50},"channel":"web_a"}');
  hub.text(1000, 1, '{"id":4,"presence_count":{"channel":"web_a","count":2}}');
  const repeated = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051';
  hub.publish(1000, 1, 14, 'web_a', '', '"x"', repeated);
  assert.equal(sent((calls = look())).at(-1).publish.id, repeated);
  assert.deepEqual(calls.slice(0, -1), [
    ['refused', 1, 7, 'rate_limited', 'too fast', 50],
    ['answer', 1, 9, '{"id":4,"presence_count":{"channel":"web_a","count":2}}'],
  ]);
});

test('tokens are asked for, and replaced when they end', () => {
  const all = world({ asksForTokens: true, refreshMs: 4000 });
  const { hub, look } = all;
  hub.joined(1_000_000, 1);
  hub.open(1_000_000);
  assert.ok(look().some(([method]) => method === 'askForToken'));
  hub.token(1_000_000, 'a"b');
  hub.opened(1_000_000, 1);
  assert.deepEqual(sent(look()), [{ id: 1, connect: { token: 'a"b', inbox: false, uuid: 'browser-1' } }]);
  hub.text(1_000_000, 1, '{"id":1,"connected":{"session":9,"user":2,"expires":1005}}');
  look();
  assert.equal(all.timer, 1_002_500);
  hub.time(1_002_500);
  assert.deepEqual(look(), [['askForToken']]);
  hub.token(1_002_500, 'next');
  assert.deepEqual(sent(look()), [{ id: 2, refresh: { token: 'next' } }]);
  hub.text(1_002_500, 1, '{"id":2,"error":{"code":"unauthorized","message":"no"}}');
  assert.deepEqual(look(), [['error', 1, 'unauthorized', 'no']]);
  hub.closed(1_005_000, 1, 4101, 'token_expired');
  assert.deepEqual(look().at(-1).slice(0, 3), ['state', 1, 'offline']);
  hub.time(all.timer);
  assert.ok(look().some(([method]) => method === 'askForToken'));
  hub.noToken(all.timer);
});

test('private messages are acknowledged when they were handled', () => {
  const { hub, look } = world();
  hub.hash(1000, 2, 'secret');
  hub.joined(1000, 1);
  hub.inboxOn(1000, 1);
  hub.open(1000);
  hub.opened(1000, 1);
  assert.deepEqual(sent(look()), [{ id: 1, connect: { user: 2, hash: 'secret', inbox: true, uuid: 'browser-1' } }]);
  hub.text(1000, 1, '{"id":1,"connected":{"session":9,"user":2}}');
  look();
  const push = '{"push":"message","data":"x","offset":12,"time":1}';
  hub.text(1000, 1, push);
  assert.deepEqual(look(), [['message', 1, 12, push]]);
  hub.handled(1000, 1, 12);
  assert.deepEqual(sent(look()), [{ id: 2, ack: { offset: 12 } }]);
  hub.inboxOff(1000, 1);
  hub.unsubscribe(1000, 1, 'web_a');
  hub.left(1000, 1);
});

test('a silent link is given up within ten seconds, at once when the network changed', () => {
  const all = online();
  const { hub, look } = all;
  hub.time(all.timer);
  assert.deepEqual(sent(look()), [{ id: 2, ping: {} }]);
  assert.ok(all.timer <= 1000 + 10_000, `${all.timer}`);
  hub.time(all.timer);
  assert.deepEqual(look().map(([method]) => method), ['closeSocket', 'state']);
  const other = online();
  other.hub.offline(1500);
  assert.deepEqual(sent(other.look()), [{ id: 2, ping: {} }]);
  other.hub.online(1600);
  assert.equal(other.timer, 5000);
});
