// What a page needs when there is no worker, loaded only then: the host itself.

import type { Carrier } from './client.js';
import { carryToLeader } from './leader.js';
import { load } from './load.js';
import type { Down, Mode } from './messages.js';
import { carryToPage } from './page.js';

/** A leading tab where tabs can agree on one, else a connection of the page's own. */
export function carry(name: string, mode: Mode, receive: (message: Down) => void, use: (carrier: Carrier) => void): void {
  const { locks } = navigator;
  if (mode === 'page' || !locks || !globalThis.BroadcastChannel) return use(carryToPage({ load, mode: 'page' }, receive));
  const channel = (of: string) => new BroadcastChannel(of);
  use(carryToLeader(`cometql ${name}`, { load, mode: 'leader' }, receive, { locks, channel }));
}
