// What a page needs when there is no worker, loaded only then: the host itself.

import type { Carrier } from './client.js';
import { load } from './load.js';
import { carryToLeader } from './leader.js';
import type { Down, Mode } from './messages.js';
import { carryToPage } from './page.js';

/** A leading tab where tabs can agree on one, else a connection of the page's own. */
export function carry(
  name: string,
  mode: Mode,
  receive: (message: Down) => void,
  tellMode: (mode: Mode) => void,
): Carrier {
  const { locks } = navigator;
  if (mode !== 'page' && locks && typeof BroadcastChannel !== 'undefined') {
    tellMode('leader');
    return carryToLeader(name, { load }, receive, { locks, channel: (of) => new BroadcastChannel(of) });
  }
  tellMode('page');
  return carryToPage({ load }, receive);
}
