import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { ConnectionError, RefusedError } from '../src/errors.js';
import { LegacyApi } from '../src/legacy/api.js';
import { decode, encode } from '../src/legacy/payload.js';
import { createSignals } from '../src/legacy/signals.js';
import type { LegacyMessage } from '../src/legacy/types.js';
import type { Client, Handler, Message, Options, State, SubscribeOptions } from '../src/types.js';
import { settle } from './fakes.js';

/** A client that records calls and says what it is told to say. */
class FakeClient {
  readonly calls: unknown[] = [];
  readonly channels = new Map<string, { handler: Handler<unknown>; options: SubscribeOptions }>();
  inboxHandler: ((message: Message) => unknown) | undefined;
  state: State = { status: 'connecting', mode: 'page', transport: 'websocket', tabs: 1 };
  closed = false;
  readonly #states: ((state: State) => unknown)[] = [];
  answer: (call: unknown[]) => unknown = () => ({ reached: 1 });

  constructor(readonly options: Options) {}
  on(type: string, handler: never): () => void {
    if (type === 'state') this.#states.push(handler);
    return () => {};
  }
  turn(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    this.#states.forEach((handler) => handler(this.state));
  }
  subscribe(channel: string, handler: Handler<unknown>, options: SubscribeOptions) {
    this.channels.set(channel, { handler, options });
    return { unsubscribe: () => this.channels.delete(channel) };
  }
  inbox(handler: (message: Message) => unknown) {
    this.inboxHandler = handler;
    return () => { this.inboxHandler = undefined; };
  }
  say(channel: string, event: string, data: unknown, user?: number): void {
    this.channels.get(channel)!.handler({ channel, event, data, ...(user && { user }) });
  }
  reconnect(): void {
    this.calls.push(['reconnect']);
  }
  close(): void {
    this.closed = true;
  }
  publish = (...call: unknown[]) => this.#call('publish', call);
  history = (...call: unknown[]) => this.#call('history', call);
  presence = (...call: unknown[]) => this.#call('presence', call);
  presenceCount = (...call: unknown[]) => this.#call('presenceCount', call);
  userData = (...call: unknown[]) => this.#call('userData', call);
  async #call(name: string, call: unknown[]): Promise<unknown> {
    this.calls.push([name, ...call]);
    return this.answer([name, ...call]);
  }
}

function started(options = {}): { api: LegacyApi; clients: FakeClient[]; seen: unknown[]; note: (name: string) => (message: LegacyMessage) => void } {
  const clients: FakeClient[] = [];
  const connect = (given: Options) => {
    clients.push(new FakeClient(given));
    return clients.at(-1) as unknown as Client;
  };
  const api = new LegacyApi(connect, createSignals());
  const seen: unknown[] = [];
  const note = (name: string) => ({ data, server_info }: LegacyMessage) =>
    void seen.push([name, data, server_info.pipe, server_info.event, server_info.user_id]);
  api.onAuthSuccess(() => seen.push('yes'));
  api.onAuthFalill(() => seen.push('no'));
  api.start({ node: 'a.example:8087', uuid: 'u', ...options });
  return { api, clients, seen, note };
}

test('payloads are what the original gave', () => {
  const check = (data: unknown, expected: unknown) => assert.deepEqual(decode(data), expected);
  check('plain', 'plain');
  check('5', 5);
  check('{"a":[1,null]}', { a: [1, null] });
  check({ a: 1 }, { a: 1 });
  check('a\\b', 'a\\b');
  check('"5"', '5');
  for (const value of ['plain', '5', 5, 'true', true, null, 'a\\b', '', { a: '5' }, [1], '"x"']) {
    assert.deepEqual(decode(encode(value)), value, String(value));
  }
  assert.equal(encode('plain'), 'plain');
  assert.equal(encode('a\\b'), '"a\\\\b"');
});

test('names of subscriptions', () => {
  const { api, clients: [client], seen, note } = started();
  const ids = ['web_a', 'web_a.said', 'msg', '#web_a', ''].map((name) => api.subscription(name, note(name)));
  assert.equal(api.subscription('web_b\nweb_c.x', note('b c')), null);
  api.subscription(note('function'));
  assert.deepEqual([...client!.channels.keys()], ['web_a', 'web_b', 'web_c']);
  client!.say('web_a', 'said', '{"x":1}', 8);
  client!.say('web_a', '', 'text');
  client!.say('web_c', 'x', 'text');
  client!.inboxHandler!({ event: 'ev', data: { q: 1 }, offset: 1, time: 1 });
  assert.deepEqual(seen.filter((one) => !/^(|function)$/.test((one as string[])[0]!)), [
    ['web_a', { x: 1 }, 'web_a', 'said', 8],
    ['web_a.said', { x: 1 }, 'web_a', 'said', 8],
    ['web_a', 'text', 'web_a', '', 0],
    ['b c', 'text', 'web_c', 'x', 0],
    ['msg', { q: 1 }, 'msg', 'ev', 0],
  ]);
  assert.equal(seen.filter((one) => (one as string[])[0] === '').length, 4);
  assert.equal(seen.filter((one) => (one as string[])[0] === 'function').length, 4);
  assert.equal(api.unsubscription(ids[0]!), true);
  assert.equal(api.unsubscription(ids[0]!), false);
  assert.ok(client!.channels.has('web_a'), 'web_a.said is still wanted');
  api.unsubscription(ids[1]!);
  assert.ok(!client!.channels.has('web_a'));
  assert.equal(api.unsubscriptionAll(), true);
  assert.deepEqual([[...client!.channels], client!.inboxHandler], [[], undefined]);
});

test('joins and leaves', () => {
  const { api, clients: [client], seen, note } = started();
  api.subscription('track_a', note('track_a'));
  client!.channels.get('track_a')!.options.presence!({ type: 'join', channel: 'track_a', member: { user: 8, uuid: 'v' } });
  client!.channels.get('track_a')!.options.presence!({ type: 'leave', channel: 'track_a', member: { uuid: 'v' } });
  assert.deepEqual(seen, [
    ['track_a', { user_id: 8, uuid: 'v' }, 'track_a', 'subscription', 0],
    ['track_a', { user_id: 0, uuid: 'v' }, 'track_a', 'unsubscription', 0],
  ]);
});

test('what is said before it is known who we are waits', async () => {
  const { api, clients: [client], seen, note } = started({ user_id: 7, user_key: 'hash7' });
  assert.deepEqual([client!.options.urls, client!.options.user, client!.options.hash], [['http://a.example:8087/'], 7, 'hash7']);
  api.subscription('web_a', note('web_a'));
  api.subscription('#web_a', note('#web_a'));
  assert.equal(api.web_pipe_send('web_a', 'said', { x: 1 }), true);
  assert.deepEqual([client!.calls, api.isAuthorized(), api.getRealUserKey()], [[], undefined, '']);
  client!.turn({ status: 'online' });
  client!.turn({ status: 'offline' });
  client!.turn({ status: 'online' });
  await settle();
  assert.deepEqual([client!.calls, api.isAuthorized(), api.getRealUserKey()], [[['publish', 'web_a', { x: 1 }, { event: 'said' }]], true, 'hash7']);
  // It does not come back to this page; the same of somebody else does.
  client!.say('web_a', 'said', { x: 1 }, 7);
  client!.say('web_a', 'said', { x: 1 }, 7);
  client!.say('web_a', 'said', { x: 1 }, 8);
  assert.deepEqual(seen, [
    'yes',
    ['#web_a', { message: '{"x":1}', number_messages: 1 }, '_answer_to_web_a', 'answer', 0],
    ['web_a', { x: 1 }, 'web_a', 'said', 7],
    ['web_a', { x: 1 }, 'web_a', 'said', 8],
  ]);
});

test('who can not log in goes on as nobody', async () => {
  const { api, clients, seen, note } = started({ user_id: 7, user_key: 'wrong' });
  api.subscription('web_a', note('web_a'));
  api.web_pipe_send('web_b.said', 'text');
  clients[0]!.turn({ status: 'stopped', error: new RefusedError('unauthorized', 'no') });
  assert.equal(clients[0]!.closed, true);
  assert.deepEqual([clients[1]!.options.user, clients[1]!.options.hash], [undefined, undefined]);
  clients[1]!.turn({ status: 'online' });
  clients[1]!.say('web_a', '', 'still here');
  clients[0]!.say('web_a', '', 'too late');
  await settle();
  assert.deepEqual(clients[1]!.calls, [['publish', 'web_b', 'text', { event: 'said' }]]);
  assert.deepEqual([seen[0], api.isAuthorized()], ['no', false]);
  api.restart({ user_key: 'a.b.c' });
  clients[2]!.turn({ status: 'online' });
  assert.deepEqual([clients[2]!.options.user, clients[2]!.options.token, api.isAuthorized()], [7, 'a.b.c', true]);
  assert.equal(seen.at(-1), 'yes');
});

test('who was killed comes back', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { clients: [client] } = started();
  client!.turn({ status: 'stopped', error: new ConnectionError('killed', 'no') });
  assert.deepEqual(client!.calls, []);
  mock.timers.tick(1_000);
  assert.deepEqual(client!.calls, [['reconnect']]);
  mock.timers.reset();
});

test('questions', async () => {
  const { api, clients: [client], seen, note } = started();
  client!.turn({ status: 'online' });
  client!.answer = ([name]) => ({
    history: { publications: [{ data: 'one', time: 1, offset: 1, previous: 0 }, { data: { a: 1 }, event: 'e', user: 8, time: 1, offset: 2, previous: 1 }] },
    presence: [{ uuid: 'v' }, { user: 8, uuid: 'w' }],
    presenceCount: 2,
    userData: null,
  })[name as string];
  api.subscription('web_a', note('web_a'));
  api.get_pipe_log('web_a', note('log'));
  api.count_users_in_pipe('web_a', note('count'));
  api.getTrackPipeUsers('track_a', note('users'));
  api.getUserData(8, note('data'));
  await settle();
  assert.deepEqual(seen, [
    'no',
    ['web_a', 'one', 'web_a', '', 0], ['log', 'one', 'web_a', '', 0],
    ['web_a', { a: 1 }, 'web_a', 'e', 8], ['log', { a: 1 }, 'web_a', 'e', 8],
    ['count', { user_in_pipe: 2 }, '_answer_pipe_count', 'user_in_pipe', 0],
    ['users', [{ user_id: 0, uuid: 'v' }, { user_id: 8, uuid: 'w' }], '_answer', 'answer', 0],
    ['data', { user_data: '', user_id: 8 }, '_answer', 'answer', 0],
  ]);
  assert.deepEqual(client!.calls[0], ['history', 'web_a', { limit: 99 }]);
});

test('a refusal is told as the original told it', async () => {
  const log = mock.method(console, 'error', () => {});
  const { api, clients: [client], seen, note } = started();
  client!.turn({ status: 'online' });
  client!.answer = () => Promise.reject(new RefusedError('permission_denied', 'not there'));
  api.subscription('sys.error', note('error'));
  api.web_pipe_send('web_a', 'e', 1);
  assert.equal(api.web_pipe_send('news', 'e', 1), false);
  await settle();
  assert.deepEqual(seen.at(-1), ['error', { number_messages: -1, error: 'not there' }, 'sys', 'error', 0]);
  assert.equal(log.mock.callCount(), 2);
  log.mock.restore();
});

test('repeated messages of the original come once', () => {
  const { api, clients: [client], seen, note } = started();
  api.subscription('web_a', note('web_a'));
  for (let time = 0; time < 3; time++) client!.say('web_a', '', { x: 1, _cometApi_uuid: 'abc' });
  assert.deepEqual(seen, [['web_a', { x: 1, _cometApi_uuid: 'abc' }, 'web_a', '', 0]]);
});

test('signals', async () => {
  const [one, two] = [createSignals('test signals'), createSignals('test signals')];
  const seen: unknown[] = [];
  const first = one.connect('sig', (...given) => seen.push(['first', ...given]));
  assert.match(first, /^sig\d+$/);
  assert.equal(one.connect('slot', 'sig', (...given) => seen.push(['slot', ...given])), 'slot');
  one.emit('sig', 1);
  assert.deepEqual([one.disconnect('slot', 'sig'), one.disconnect('slot', 'sig')], [true, false]);
  const heard = new Promise((resolve) => two.connect('sig', (...given) => resolve(given)));
  assert.equal(one.emitAll('sig', { a: 1 }), true);
  assert.deepEqual(seen, [['first', 1, 'sig', false], ['slot', 1, 'sig', false], ['first', { a: 1 }, 'sig', false]]);
  // Another tab hears it from there. The channel does not keep Node.js alive: this does.
  const alive = setInterval(() => {}, 1_000);
  assert.deepEqual(await heard, [{ a: 1 }, 'sig', true]);
  clearInterval(alive);
  assert.deepEqual([one.getState('s'), one.setState('s', true), one.getState('s')], [null, true, true]);
});
