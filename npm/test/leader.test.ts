import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { carryToLeader } from '../src/leader.js';
import type { Down } from '../src/messages.js';
import { type FakeChannel, FakeChannels, FakeLocks, join, loader, settle } from './fakes.js';

beforeEach(() => mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'] }));
afterEach(() => mock.timers.reset());

/** So much time, and what the leader says then: it answers by a timer. */
async function pass(ms: number): Promise<void> {
  for (const step of [ms, 1]) {
    mock.timers.tick(step);
    await settle();
  }
}

/** A browser with tabs. */
class World {
  readonly locks = new FakeLocks();
  readonly channels = new FakeChannels();
  readonly modules = loader();

  async tab() {
    const heard: Down[] = [];
    let channel!: FakeChannel;
    const carrier = carryToLeader('x', { load: this.modules.load, mode: 'leader' }, (message) => heard.push(message), {
      locks: this.locks,
      channel: () => (channel = this.channels.open()),
    });
    await settle();
    await pass(0);
    const take = () => heard.splice(0);
    return { carrier, channel, take, host: () => take().flatMap((message) => (message[0] === 'hi' ? [message[1]] : [])).at(-1) };
  }

  get hubs() {
    return this.modules.hubs;
  }
}

test('the first tab leads, the others follow', async () => {
  const world = new World();
  const [one, two] = [await world.tab(), await world.tab()];
  const host = one.host();
  assert.equal(two.host(), host);
  for (const { carrier } of [one, two]) carrier.send(['join', join()]);
  two.carrier.send(['subscribe', 1, 'web_a', undefined]);
  await settle();
  assert.equal(world.hubs.length, 1);
  one.take();
  two.take();
  world.hubs[0]!.shell.publication(3, 'web_a', 'ff', 1, 'text');
  await settle();
  assert.deepEqual([one.take(), two.take()], [[], [['publication', 1, { epoch: 'ff', offset: 1 }, 'text']]]);
  two.carrier.close(true);
  await settle();
  assert.deepEqual(world.hubs[0]!.take().slice(-2), ['left 3', 'left 2']);
  one.carrier.close(true);
});

test('when the leader goes, another one says hi', async () => {
  const world = new World();
  const [one, two, three] = [await world.tab(), await world.tab(), await world.tab()];
  const first = one.host();
  assert.deepEqual([two.host(), three.host()], [first, first]);
  one.carrier.close(false);
  await settle();
  const second = two.host();
  assert.ok(second && second !== first);
  assert.equal(three.host(), second);
  two.carrier.close(false);
  three.carrier.close(false);
});

test('a frozen leader loses the lock, and follows when it wakes up', async () => {
  const world = new World();
  const [one, two] = [await world.tab(), await world.tab()];
  const first = one.host();
  two.host();
  // As long as it answers nothing changes.
  for (let look = 0; look < 10; look++) {
    await pass(2_000);
  }
  assert.ok(![one.host(), two.host()].some((host) => host && host !== first));
  one.channel.frozen = true;
  for (let look = 0; look < 5; look++) {
    await pass(2_000);
  }
  const second = two.host();
  assert.ok(second && second !== first);
  one.channel.frozen = false;
  await pass(2_000);
  assert.equal(one.host(), second, 'it was told by its lost lock, and found the new one');
  two.carrier.close(false);
  await settle();
  assert.ok(![first, second, undefined].includes(one.host()), 'and leads again when the other one goes');
  one.carrier.close(false);
});
