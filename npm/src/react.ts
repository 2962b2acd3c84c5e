// Hooks for React. Effects begin and end everything, so nothing happens while a server renders.

import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { watchMembers } from './members.js';
import type { Client, Handler, Member, State, SubscribeOptions } from './types.js';

/** Connects when the component is shown, and closes with it. Undefined before; `make` is called once: give it another key. */
export function useClient(make: () => Client): Client | undefined {
  const [client, setClient] = useState<Client>();
  const first = useRef(make);
  useEffect(() => {
    const mine = first.current();
    setClient(mine);
    return () => mine.close();
  }, []);
  return client;
}

/** How the connection is; undefined while there is no client. */
export function useConnection(client: Client | undefined): State | undefined {
  const watch = useCallback((change: () => void) => client?.on('state', change) ?? (() => {}), [client]);
  return useSyncExternalStore(watch, () => client?.state, () => undefined);
}

/**
 * Calls the newest handler with each publication. Another client, channel or event begins anew; without a client or channel
 * nothing is subscribed to.
 */
export function useSubscription<T = unknown>(
  client: Client | undefined,
  channel: string | undefined,
  handler: Handler<T>,
  options: Omit<SubscribeOptions, 'signal'> = {},
): void {
  const latest = useRef({ handler, options });
  useEffect(() => {
    latest.current = { handler, options };
  });
  const { event } = options;
  useEffect(() => {
    if (!client || !channel) return;
    const subscription = client.subscribe<T>(channel, (publication) => latest.current.handler(publication), {
      ...latest.current.options,
      presence: (change) => latest.current.options.presence?.(change),
    });
    return () => subscription.unsubscribe();
  }, [client, channel, event]);
}

/** Who is in a channel; undefined before that is known. */
export function usePresence(client: Client | undefined, channel: string | undefined): Member[] | undefined {
  const [members, setMembers] = useState<Member[]>();
  useEffect(() => {
    if (!client || !channel) return;
    const end = watchMembers(client, channel, setMembers);
    return () => {
      end();
      setMembers(undefined);
    };
  }, [client, channel]);
  return members;
}
