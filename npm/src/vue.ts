// Composables for Vue. They begin in browsers only, so nothing happens while a server renders, and end with their component.

import { type MaybeRefOrGetter, onMounted, onScopeDispose, type ShallowRef, shallowRef, toValue, watch } from 'vue';
import { watchMembers } from './members.js';
import type { Client, Handler, Member, State, SubscribeOptions } from './types.js';

type Given<T> = MaybeRefOrGetter<T | undefined>;

/** Connects when the component is shown, and closes with it. Undefined before. */
export function useClient(make: () => Client): Readonly<ShallowRef<Client | undefined>> {
  const client = shallowRef<Client>();
  onMounted(() => { client.value = make(); });
  onScopeDispose(() => client.value?.close());
  return client;
}

/** How the connection is; undefined while there is no client. */
export function useConnection(client: Given<Client>): Readonly<ShallowRef<State | undefined>> {
  const state = shallowRef<State>();
  during([client], (client: Client) => {
    state.value = client.state;
    return client.on('state', (next) => { state.value = next; });
  }, () => { state.value = undefined; });
  return state;
}

/** Calls a handler with each publication. Another client or channel begins anew; without one nothing is subscribed to. */
export function useSubscription<T = unknown>(
  client: Given<Client>,
  channel: Given<string>,
  handler: Handler<T>,
  options: Omit<SubscribeOptions, 'signal'> = {},
): void {
  during([client, channel], (client: Client, channel: string) => {
    const subscription = client.subscribe(channel, handler, options);
    return () => subscription.unsubscribe();
  });
}

/** Who is in a channel; undefined before that is known. */
export function usePresence(client: Given<Client>, channel: Given<string>): Readonly<ShallowRef<Member[] | undefined>> {
  const members = shallowRef<Member[]>();
  during(
    [client, channel],
    (client: Client, channel: string) => watchMembers(client, channel, (now) => { members.value = now; }),
    () => { members.value = undefined; },
  );
  return members;
}

/** Begins when all values are there, and ends when one changes. */
function during(values: Given<unknown>[], begin: (...values: never[]) => () => void, ended = () => {}): void {
  if (!globalThis.document) return;
  watch(() => values.map(toValue), (given, _, onCleanup) => {
    if (!given.every(Boolean)) return;
    const end = begin(...(given as never[]));
    onCleanup(() => {
      end();
      ended();
    });
  }, { immediate: true });
}
