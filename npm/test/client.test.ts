import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '../src/client.js';
import { CometError } from '../src/errors.js';
import type { Down } from '../src/messages.js';
import type { Client, Options, Publication } from '../src/types.js';
import { FakeCarrier, settle } from './fakes.js';

async function connected(options: Options = {}): Promise<{ client: Client; carrier: FakeCarrier; events: string[] }> {
  const carrier = new FakeCarrier();
  const client = createClient({ url: 'http://127.0.0.1:1', uuid: 'u', ...options }, 'file:///wasm', carrier.carry);
  const events: string[] = [];
  client.on('gap', ({ channel, position }) => events.push(`gap ${channel} ${position?.offset}`));
  client.on('recovered', ({ channel, position }) => events.push(`recovered ${channel} ${position?.offset}`));
  client.on('error', ({ code, channel }) => events.push(`error ${code} ${channel}`));
  await settle();
  carrier.receive(['hi', 'a', false]);
  return { client, carrier, events };
}

const publication = (stream: number, offset: number, epoch = 'ff', event = ''): Down =>
  ['publication', stream, { epoch, offset }, JSON.stringify({ push: 'publication', channel: 'web_a', data: `p${offset}`, offset, event: event || undefined })];

test('a new host is told everything, positions included', async () => {
  const { client, carrier, events } = await connected({ user: 7, hash: 'h' });
  const seen: unknown[] = [];
  const subscription = client.subscribe('web_a', ({ data }) => seen.push(data));
  client.subscribe('web_b', () => {}, { since: { epoch: 'ee', offset: 3 } });
  client.inbox(() => {});
  const pending = client.publish('web_a', { x: 1 }, { event: 'said' });
  const [joined, off, ...first] = carrier.take();
  assert.deepEqual([joined![0], off], ['join', ['inbox', false]]);
  assert.deepEqual(first.slice(0, 3), [['subscribe', 1, 'web_a', undefined], ['subscribe', 2, 'web_b', { epoch: 'ee', offset: 3 }], ['inbox', true]]);
  carrier.receive(['subscribed', 1, { epoch: 'ff', offset: 5 }, false]);
  assert.deepEqual(await subscription.ready, { channel: 'web_a', position: { epoch: 'ff', offset: 5 }, recovered: false });
  carrier.receive(publication(1, 6));
  carrier.receive(['hi', 'a', false]);
  assert.deepEqual(carrier.take(), []);
  carrier.receive(['hi', 'b', false]);
  const again = carrier.take();
  assert.deepEqual(again.slice(1, 4), [['subscribe', 1, 'web_a', { epoch: 'ff', offset: 6 }], ['subscribe', 2, 'web_b', { epoch: 'ee', offset: 3 }], ['inbox', true]]);
  assert.deepEqual(again[4], first[3], 'the same publication with the same id');
  // The new host begins the subscription; to the application it goes on.
  carrier.receive(['subscribed', 1, { epoch: 'ff', offset: 8 }, true]);
  for (const offset of [6, 7, 8]) carrier.receive(publication(1, offset));
  carrier.receive(['hi', 'c', false]);
  carrier.receive(['subscribed', 1, { epoch: 'aa', offset: 2 }, false]);
  carrier.receive(publication(1, 3, 'aa'));
  await settle();
  assert.deepEqual(seen, ['p6', 'p7', 'p8', 'p3']);
  assert.deepEqual(events, ['recovered web_a 6', 'gap web_a 2']);
  carrier.receive(['answer', 1, '{"id":9,"published":{"reached":2,"offset":9}}']);
  assert.deepEqual(await pending, { reached: 2, offset: 9 });
  client.close();
});

test('each subscription is a stream of its own', async () => {
  const { client, carrier } = await connected();
  carrier.take();
  const seen: string[] = [];
  const one = client.subscribe('web_a', ({ data }) => seen.push(`1 ${data}`), { since: { epoch: 'ff', offset: 1 } });
  client.subscribe('web_a', ({ data }) => seen.push(`2 ${data}`), { event: 'said' });
  assert.deepEqual(carrier.take(), [
    ['subscribe', 1, 'web_a', { epoch: 'ff', offset: 1 }],
    ['subscribe', 2, 'web_a', undefined],
  ]);
  for (const stream of [1, 2]) {
    carrier.receive(['subscribed', stream, { epoch: 'ff', offset: 1 }, stream === 1]);
    carrier.receive(publication(stream, 2));
    carrier.receive(publication(stream, 3, 'ff', 'said'));
  }
  await settle();
  assert.deepEqual(seen, ['1 p2', '1 p3', '2 p3']);
  assert.deepEqual(one.position, { epoch: 'ff', offset: 3 });
  one.unsubscribe();
  one.unsubscribe();
  assert.deepEqual(carrier.take(), [['unsubscribe', 1]]);
  carrier.receive(publication(1, 4));
  assert.deepEqual(seen.length, 3);
  client.close();
});

test('a handler that fails is told, and breaks nothing', async () => {
  const { client, carrier, events } = await connected();
  const seen: unknown[] = [];
  client.subscribe('web_a', () => { throw new Error('mine'); });
  client.subscribe('web_a', async () => { throw new Error('mine'); });
  client.subscribe('web_a', ({ data }) => seen.push(data));
  client.on('state', () => { throw new Error('mine'); });
  carrier.receive(['state', { status: 'online', mode: 'worker', transport: 'websocket', tabs: 1 }]);
  for (const stream of [1, 2, 3]) carrier.receive(publication(stream, 1));
  await settle();
  assert.deepEqual(seen, ['p1']);
  assert.deepEqual(events.sort(), ['error handler_failed undefined', 'error handler_failed web_a', 'error handler_failed web_a']);
  client.close();
});

test('refusals have classes and codes', async () => {
  const { client, carrier, events } = await connected();
  const refused = client.subscribe('private_a', () => {});
  const call = client.publish('web_a', 1);
  const late = client.presence('web_a');
  carrier.receive(['unsubscribed', 1, 'permission_denied', 'no']);
  carrier.receive(['refused', 1, 'rate_limited', 'slow down', 50]);
  carrier.receive(['refused', 2, 'timeout', 'too late', 0]);
  await assert.rejects(refused.ready, { name: 'RefusedError', code: 'permission_denied', channel: 'private_a' });
  await assert.rejects(call, { name: 'RefusedError', code: 'rate_limited', retryAfter: 50 });
  await assert.rejects(late, (error) => error instanceof CometError && error.name === 'ConnectionError' && error.code === 'timeout');
  await settle();
  assert.deepEqual(events, ['error permission_denied private_a']);
  client.close();
});

test('a subscription is read in a loop, which ends with it', async () => {
  const { client, carrier } = await connected();
  const subscription = client.subscribe<string>('web_a');
  carrier.receive(['subscribed', 1, { epoch: 'ff', offset: 0 }, false]);
  carrier.receive(publication(1, 1));
  carrier.receive(publication(1, 2));
  const seen: string[] = [];
  for await (const { data } of subscription) if (seen.push(data) === 2) break;
  assert.deepEqual(seen, ['p1', 'p2']);
  assert.deepEqual(carrier.take().at(-1), ['unsubscribe', 1]);
  const stop = new AbortController();
  const aborted = client.subscribe('web_a', { signal: stop.signal });
  const loop = (async () => { for await (const _ of aborted); })();
  stop.abort(new Error('enough'));
  await assert.rejects(loop, /enough/);
  await assert.rejects(aborted.ready, /enough/);
  client.close();
});

test('a loop that does not keep up pauses its stream and goes on from where it was', async () => {
  const { client, carrier } = await connected();
  const subscription = client.subscribe<string>('web_a');
  carrier.receive(['subscribed', 1, { epoch: 'ff', offset: 0 }, false]);
  carrier.take();
  for (let offset = 1; offset <= 1500; offset++) carrier.receive(publication(1, offset));
  assert.deepEqual(carrier.take().filter(([kind]) => kind !== 'ack'), [['unsubscribe', 1]]);
  let read = 0;
  for await (const { position } of subscription) {
    assert.equal(position!.offset, ++read);
    if (read === 1000) {
      assert.deepEqual(carrier.take(), [['subscribe', 2, 'web_a', { epoch: 'ff', offset: 1000 }]]);
      carrier.receive(['subscribed', 2, { epoch: 'ff', offset: 1001 }, true]);
      carrier.receive(publication(2, 1001));
    }
    if (read === 1001) break;
  }
  client.close();
});

test('private messages are acknowledged when all handlers are done, and handled once', async () => {
  const { client, carrier, events } = await connected();
  const seen: unknown[] = [];
  let done = () => {};
  client.inbox(async ({ data }) => { seen.push(data); await new Promise<void>((next) => { done = next; }); });
  client.inbox(({ data }) => { if (data === 'bad') throw new Error('mine'); });
  const message = (offset: number, data: string): Down => ['message', offset, JSON.stringify({ push: 'message', data, offset, time: 1 })];
  carrier.take();
  carrier.receive(message(1, 'good'));
  carrier.receive(message(1, 'good'));
  await settle();
  assert.deepEqual(carrier.take(), []);
  done();
  await settle();
  assert.deepEqual(carrier.take(), [['handled', 1]]);
  // Another host asks again.
  carrier.receive(message(1, 'good'));
  await settle();
  assert.deepEqual(carrier.take(), [['handled', 1]]);
  carrier.receive(message(2, 'bad'));
  done();
  await settle();
  assert.deepEqual(carrier.take(), []);
  carrier.receive(message(2, 'bad'));
  await settle();
  assert.deepEqual(seen, ['good', 'bad', 'bad']);
  assert.deepEqual(events, ['error handler_failed undefined', 'error handler_failed undefined']);
  client.close();
});

test('the host learns what was read', async () => {
  const { client, carrier } = await connected();
  client.subscribe('web_a', () => {});
  carrier.take();
  for (let offset = 1; offset <= 70; offset++) carrier.receive(publication(1, offset));
  carrier.receive(['ping']);
  assert.deepEqual(carrier.take(), [['ack', 32], ['ack', 64], ['ack', 71]]);
  client.close();
});

test('tokens: the first one tells who we are, later ones are asked for', async () => {
  const given: (string | null)[] = ['first', 'second', null];
  const { client, carrier, events } = await connected({
    getToken: async () => {
      const token = given.shift();
      if (token === null) throw new Error('logged out');
      return token;
    },
  });
  const [first] = carrier.take();
  assert.ok(first![0] === 'join' && first![1].token === 'first' && first![1].asks);
  carrier.receive(['token']);
  await settle();
  carrier.receive(['token']);
  await settle();
  assert.deepEqual(carrier.take().filter(([kind]) => kind === 'token'), [['token', 'second'], ['token', null]]);
  assert.deepEqual(events, ['error token_failed undefined']);
  client.close();
});

test('what was closed stays closed', async () => {
  const { client, carrier } = await connected();
  const subscription = client.subscribe<string>('web_a');
  const ended = (async () => { for await (const _ of subscription); })();
  const call = client.presenceCount('web_a');
  client.close();
  await ended;
  await assert.rejects(call, { code: 'closed' });
  await assert.rejects(client.publish('web_a', 1), { code: 'closed' });
  assert.throws(() => client.subscribe('web_a', (_: Publication) => {}), { code: 'closed' });
  assert.equal(carrier.closed, true);
  assert.equal(client.state.status, 'stopped');
  client.close();
});
