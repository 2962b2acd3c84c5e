// The host within the page: a connection of its own.

import type { Carrier } from './client.js';
import { Host, type Parts, type Port } from './host.js';
import type { Down } from './messages.js';

/** Carries messages to a host in the same page, in later turns, as anything else would. */
export function carryToPage(parts: Parts, receive: (message: Down) => void): Carrier {
  const host = new Host(parts);
  let open = true;
  const port: Port = { post: (message) => queueMicrotask(() => { if (open) receive(message); }) };
  const unwatch = watchNetwork(host);
  host.hi(port);
  return {
    send: (message) => queueMicrotask(() => { if (open) host.receive(port, message); }),
    close(forGood) {
      open = false;
      unwatch();
      host.shutdown(forGood);
    },
  };
}

/** Tells a host what the browser says of the network. */
export function watchNetwork(host: Host): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  // Programs outside of browsers are told nothing.
  globalThis.addEventListener?.('online', () => host.network(true), { signal });
  globalThis.addEventListener?.('offline', () => host.network(false), { signal });
  return () => stop.abort();
}
