import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '../src/client.js';
import type { Down } from '../src/messages.js';
import type { Client, Member } from '../src/types.js';
import { FakeCarrier, settle } from './fakes.js';

/** A client whose host answers as the test says. */
function fake(): { client: Client; carrier: FakeCarrier; say: (message: Down) => void } {
  const carrier = new FakeCarrier();
  const client = createClient({ url: 'http://127.0.0.1:1', uuid: 'u' }, 'file:///wasm', carrier.carry);
  return { client, carrier, say: (message) => carrier.receive(message) };
}

async function online({ carrier, say }: ReturnType<typeof fake>): Promise<void> {
  await settle();
  say(['hi', 'a', false]);
  say(['state', { status: 'online', mode: 'page', transport: 'websocket', tabs: 1 }]);
  carrier.take();
}

/** What a page has and Node.js has not; the frameworks look for it when they are loaded. */
async function inPage(run: (root: HTMLElement) => Promise<void>): Promise<void> {
  // Its types are not for this version of Node.js.
  const happyDom: string = 'happy-dom';
  const window = new (await import(happyDom)).Window();
  const names = ['window', 'document', 'navigator', 'Element', 'HTMLElement', 'SVGElement', 'Node', 'addEventListener'];
  const before = new Map(names.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]));
  for (const name of names) {
    const value = name === 'addEventListener' ? window.addEventListener.bind(window) : window[name];
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  try {
    await run(window.document.body);
  } finally {
    for (const [name, old] of before) {
      if (old) Object.defineProperty(globalThis, name, old);
      else delete (globalThis as Record<string, unknown>)[name];
    }
    await window.happyDOM.close();
  }
}

const names = (members: Member[] | undefined) => members?.map(({ uuid }) => uuid).join(' ') ?? 'unknown';

/** What a component shows is `status|members`; it subscribes to `channel` and publications land in `seen`. */
interface Shown {
  root: HTMLElement;
  seen: unknown[];
  /** Does something and waits until the framework has drawn what came of it. */
  during(run: () => unknown): Promise<void>;
  setChannel(channel: string): Promise<void>;
  unmount(): Promise<void>;
}

/** The same story for each framework. */
async function story(page: ReturnType<typeof fake>, { root, seen, during, setChannel, unmount }: Shown): Promise<void> {
  const { carrier } = page;
  const say = (message: Down) => during(() => page.say(message));
  await during(() => online(page));
  assert.equal(root.textContent, 'online|unknown');
  // What was wanted before there was a host has been told with `join`.
  await say(['subscribed', 1, { epoch: 'ff', offset: 0 }, false]);
  await say(['subscribed', 2, undefined, false]);
  await say(['publication', 1, { epoch: 'ff', offset: 1 }, '{"channel":"web_a","data":"one","offset":1}']);
  assert.deepEqual(seen, ['web_a one']);
  const [question] = carrier.take();
  assert.ok(question![0] === 'call');
  await say(['answer', question![1], '{"id":1,"presence":{"channel":"track_a","members":[{"uuid":"u"}]}}']);
  assert.equal(root.textContent, 'online|u');
  await say(['presence', 2, '{"push":"join","channel":"track_a","member":{"uuid":"v"}}']);
  assert.equal(root.textContent, 'online|u v');
  await say(['presence', 2, '{"push":"leave","channel":"track_a","member":{"uuid":"u"}}']);
  assert.equal(root.textContent, 'online|v');
  await setChannel('web_b');
  assert.deepEqual(carrier.take().map(([kind, , channel]) => [kind, channel]), [['unsubscribe', undefined], ['subscribe', 'web_b']]);
  await unmount();
  assert.equal(carrier.closed, true);
}

test('React: a component of a page', () => inPage(async (root) => {
  (globalThis as Record<string, unknown>).IS_REACT_ACT_ENVIRONMENT = true;
  const { act, createElement } = await import('react');
  const { createRoot } = await import('react-dom/client');
  const { useClient, useConnection, usePresence, useSubscription } = await import('../src/react.js');
  const page = fake();
  const seen: unknown[] = [];
  const Component = ({ channel }: { channel: string }) => {
    const client = useClient(() => page.client);
    useSubscription<string>(client, channel, ({ channel, data }) => seen.push(`${channel} ${data}`));
    return `${useConnection(client)?.status ?? 'none'}|${names(usePresence(client, 'track_a'))}`;
  };
  const react = createRoot(root);
  const show = (channel: string) => act(async () => react.render(createElement(Component, { channel })));
  await show('web_a');
  await story(page, {
    root, seen, setChannel: show,
    during: (run) => act(async () => {
      await run();
      await settle();
    }),
    unmount: () => act(async () => react.unmount()),
  });
}));

test('React: a server renders', async () => {
  const { createElement } = await import('react');
  const { renderToString } = await import('react-dom/server');
  const { useClient, useConnection, usePresence, useSubscription } = await import('../src/react.js');
  const Component = () => {
    const client = useClient(() => assert.fail('it must not connect'));
    useSubscription(client, 'web_a', () => {});
    return createElement('p', {}, `${useConnection(client)?.status ?? 'none'} ${names(usePresence(client, 'track_a'))}`);
  };
  assert.equal(renderToString(createElement(Component)), '<p>none unknown</p>');
});

test('Vue: a component of a page', () => inPage(async (root) => {
  const { createApp, nextTick, ref } = await import('vue');
  const { useClient, useConnection, usePresence, useSubscription } = await import('../src/vue.js');
  const page = fake();
  const seen: unknown[] = [];
  const channel = ref('web_a');
  const app = createApp({
    setup() {
      const client = useClient(() => page.client);
      useSubscription<string>(client, channel, ({ channel, data }) => seen.push(`${channel} ${data}`));
      const [state, members] = [useConnection(client), usePresence(client, 'track_a')];
      return () => `${state.value?.status ?? 'none'}|${names(members.value)}`;
    },
  });
  app.mount(root);
  await nextTick();
  await story(page, {
    root, seen,
    async during(run) {
      await run();
      await settle();
      await nextTick();
    },
    async setChannel(name) {
      channel.value = name;
      await nextTick();
    },
    async unmount() {
      app.unmount();
    },
  });
}));

test('Vue: a server renders', async () => {
  const { createSSRApp, h } = await import('vue');
  const { renderToString } = await import('vue/server-renderer');
  const { useClient, useConnection, usePresence, useSubscription } = await import('../src/vue.js');
  const app = createSSRApp({
    setup() {
      const client = useClient(() => assert.fail('it must not connect'));
      useSubscription(client, 'web_a', () => {});
      const [state, members] = [useConnection(client), usePresence(client, 'track_a')];
      return () => h('p', `${state.value?.status ?? 'none'} ${names(members.value)}`);
    },
  });
  assert.equal(await renderToString(app), '<p>none unknown</p>');
});
