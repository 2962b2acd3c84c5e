import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Host } from '../src/host.js';
import { FakeHub, FakePort, join, loader, settle } from './fakes.js';

async function started(more = {}): Promise<{ host: Host; hub: FakeHub; port: FakePort }> {
  const { load, hubs } = loader();
  const host = new Host({ load, mode: 'page' });
  const port = new FakePort();
  host.hi(port);
  host.receive(port, ['join', join(more)]);
  await settle();
  // It is not counted: a page counts what comes after it.
  assert.deepEqual(port.posted.shift(), ['hi', host.id, false]);
  return { host, hub: hubs[0]!, port };
}

const jwt = (claims: object) => `x.${btoa(JSON.stringify(claims))}.y`;

test('what comes before the module is loaded waits', async () => {
  const { load, hubs } = loader();
  const host = new Host({ load, mode: 'page' });
  const [one, two] = [new FakePort(), new FakePort()];
  host.receive(one, ['join', join({ user: 7, hash: 'h' })]);
  host.receive(one, ['subscribe', 1, 'web_a', { epoch: 'ff', offset: 4 }]);
  host.receive(two, ['join', join()]);
  await settle();
  assert.deepEqual(hubs.length, 1);
  assert.deepEqual(hubs[0]!.take(), ['hash 7 h', 'open', 'joined 1', 'subscribe 2 web_a ff 4', 'open', 'joined 3']);
  host.shutdown(false);
});

test('each stream is a tab of the hub', async () => {
  const { host, hub, port } = await started();
  const other = new FakePort();
  host.receive(other, ['join', join()]);
  host.receive(port, ['subscribe', 5, 'web_a', undefined]);
  host.receive(other, ['subscribe', 5, 'web_a', undefined]);
  port.take();
  other.take();
  hub.take();
  host.publication(4, 'web_a', 'ff', 9, 'text');
  host.recovered(3);
  assert.deepEqual(port.take(), [['recovered', 5]]);
  assert.deepEqual(other.take(), [['publication', 5, { epoch: 'ff', offset: 9 }, 'text']]);
  host.receive(port, ['unsubscribe', 5]);
  host.receive(other, ['bye', true]);
  assert.deepEqual(hub.take(), ['left 3', 'left 4', 'left 2']);
  host.publication(3, 'web_a', 'ff', 10, 'late');
  assert.deepEqual(port.kinds(), ['state']);
  host.shutdown(false);
});

test('a page that does not read is forgotten, and joins again when it has read', async () => {
  const { host, hub, port } = await started();
  host.receive(port, ['subscribe', 1, 'web_a', undefined]);
  hub.take();
  const before = port.take().length;
  for (let offset = 1; offset <= 5000; offset++) host.publication(2, 'web_a', 'ff', offset, 'text');
  await settle();
  assert.deepEqual(hub.take(), ['left 2', 'left 1']);
  const sent = before + port.take().length;
  assert.ok(sent < 4200, String(sent));
  host.receive(port, ['ack', sent - 1]);
  host.receive(port, ['subscribe', 2, 'web_b', undefined]);
  assert.deepEqual([port.kinds(), hub.take()], [[], []]);
  host.receive(port, ['ack', sent]);
  assert.deepEqual(port.take(), [['hi', host.id, true]]);
  host.receive(port, ['join', join()]);
  host.receive(port, ['subscribe', 1, 'web_a', { epoch: 'ff', offset: 4096 }]);
  assert.deepEqual(hub.take(), ['open', 'joined 3', 'subscribe 4 web_a ff 4096']);
  host.shutdown(false);
});

test('large texts count, and what was read does not', async () => {
  const { host, port } = await started();
  host.receive(port, ['subscribe', 1, 'web_a', undefined]);
  const text = 'x'.repeat(1 << 20);
  let sent = port.take().length;
  for (let offset = 1; offset <= 40; offset++) {
    host.publication(2, 'web_a', 'ff', offset, text);
    host.receive(port, ['ack', (sent += port.take().length)]);
  }
  assert.equal(sent, 41);
  for (let offset = 1; offset <= 40; offset++) host.publication(2, 'web_a', 'ff', offset, text);
  await settle();
  assert.ok(port.take().length < 15);
  host.shutdown(false);
});

test('silent pages are dropped, and joined again when they are heard of', async () => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'] });
  const { host, hub, port } = await started();
  const alive = new FakePort();
  host.receive(alive, ['join', join()]);
  hub.take();
  for (let ping = 1; ping <= 5; ping++) {
    mock.timers.tick(20_000);
    host.receive(alive, ['ack', 2 + ping]);
  }
  assert.deepEqual(hub.take(), ['left 1']);
  port.take();
  host.receive(port, ['ack', 9]);
  host.receive(port, ['handled', 3]);
  assert.deepEqual(port.take(), [['hi', host.id, true]]);
  host.shutdown(false);
  mock.timers.reset();
});

test('tokens are asked of the page that came last, then of the others', async () => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'] });
  const { host, hub, port } = await started({ asks: true });
  const others = [new FakePort(), new FakePort()];
  for (const other of others) host.receive(other, ['join', join({ asks: true })]);
  const asked = () => [port, ...others].map((each) => each.kinds().includes('token'));
  asked();
  hub.take();
  host.askForToken();
  assert.deepEqual(asked(), [false, false, true]);
  host.receive(port, ['token', 'not asked']);
  host.receive(others[1]!, ['token', null]);
  assert.deepEqual(asked(), [false, true, false]);
  host.receive(others[0]!, ['bye', false]);
  assert.deepEqual(asked(), [true, false, false]);
  host.receive(port, ['token', 'fresh']);
  assert.deepEqual(hub.take(), ['token fresh']);
  host.askForToken();
  mock.timers.tick(20_000);
  mock.timers.tick(20_000);
  await settle();
  assert.deepEqual(hub.take(), ['left 2', 'noToken']);
  host.shutdown(false);
  mock.timers.reset();
});

test('of two tokens the one that ends later counts', async () => {
  const [old, newer] = [jwt({ sub: '7', exp: 100 }), jwt({ sub: '7', exp: 200 })];
  const { host, hub } = await started({ token: newer });
  for (const token of [old, newer]) host.receive(new FakePort(), ['join', join({ token })]);
  assert.deepEqual(hub.take().filter((call) => call.startsWith('token')), [`token ${newer}`]);
  host.shutdown(false);
});

test('a new hash replaces the old one', async () => {
  const { host, hub } = await started({ user: 7, hash: 'old' });
  hub.take();
  for (const hash of ['old', 'new']) host.receive(new FakePort(), ['join', join({ user: 7, hash })]);
  assert.deepEqual(hub.take().filter((call) => call.startsWith('hash')), ['hash 7 new']);
  host.shutdown(false);
});

test('the connection outlives its last page for a while, unless that closed it', async () => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'] });
  const { host, hub, port } = await started();
  hub.take();
  host.receive(port, ['bye', false]);
  mock.timers.tick(4_000);
  host.receive(port, ['join', join()]);
  assert.deepEqual(hub.take(), ['open', 'joined 2'], 'a reload: what the old page wanted is still wanted');
  mock.timers.tick(9_000);
  assert.deepEqual(hub.take(), ['left 1']);
  host.receive(port, ['bye', false]);
  mock.timers.tick(10_000);
  assert.deepEqual(hub.take(), ['left 2', 'close']);
  host.receive(port, ['join', join()]);
  host.receive(port, ['bye', true]);
  assert.deepEqual(hub.take(), ['open', 'joined 3', 'left 3', 'close']);
  host.shutdown(false);
  mock.timers.reset();
});

test('a module that cannot be loaded is told to all', async () => {
  const host = new Host({ load: () => Promise.reject(new Error('blocked')), mode: 'page' });
  const [one, two] = [new FakePort(), new FakePort()];
  host.receive(one, ['join', join()]);
  await settle();
  host.receive(two, ['join', join()]);
  assert.deepEqual([one.take(), two.take()], [[['fail', 'Error: blocked']], [['fail', 'Error: blocked']]]);
  host.shutdown(false);
});

test('a clock that is set back stops no timer', async () => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'], now: 1e12 });
  const { host, hub } = await started();
  hub.take();
  mock.timers.setTime(1e12 - 3_600_000);
  host.setTimer(1e12 + 6000);
  mock.timers.tick(5999);
  assert.deepEqual(hub.take(), []);
  mock.timers.tick(1);
  assert.deepEqual(hub.take(), ['time']);
  host.shutdown(false);
  mock.timers.reset();
});

test('private messages that nobody has handled come again with each connection', async () => {
  const { host, hub, port } = await started();
  host.state(1, 'online', 0, '', '');
  host.receive(port, ['inbox', true]);
  hub.take();
  host.state(1, 'online', 0, '', '');
  await settle();
  assert.deepEqual(hub.take(), [], 'it is the same connection');
  host.state(1, 'offline', 5, '', '');
  host.state(1, 'online', 0, '', '');
  await settle();
  assert.deepEqual(hub.take(), ['inboxOn 1']);
  host.receive(port, ['inbox', false]);
  host.state(1, 'offline', 5, '', '');
  host.state(1, 'online', 0, '', '');
  await settle();
  assert.deepEqual(hub.take(), ['inboxOff 1']);
  host.shutdown(false);
});
