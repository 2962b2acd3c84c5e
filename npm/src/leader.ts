// One of the tabs holds the connection for all: the one that has the lock. The others reach it over a broadcast channel,
// and take the lock away when it does not answer: a frozen tab keeps its lock. It learns of that when it wakes up.

import type { Carrier } from './client.js';
import { Host, type Parts, type Port } from './host.js';
import type { Down, Up } from './messages.js';
import { watchNetwork } from './page.js';

/** How often a follower looks for a sign of the leader, and how many times it looks in vain before it takes over. */
const LOOK_MS = 2_000;
const MOST_SILENT = 3;

/** What goes over the broadcast channel: from whom, to whom ('' = to all, or whoever leads). */
type Letter = { from: string; to: string; up: Up | ['who'] } | { from: string; to: string; down: Down };

/** What is used of the browser, so that tests can bring their own. */
export interface Together {
  locks: Pick<LockManager, 'request'>;
  channel: (name: string) => Pick<BroadcastChannel, 'postMessage' | 'close' | 'onmessage'>;
}

/** Leads or follows, under a name that all tabs of one identity share. */
export function carryToLeader(name: string, parts: Parts, receive: (message: Down) => void, together: Together): Carrier {
  const me = Math.random().toString(36).slice(2);
  const channel = together.channel(name);
  const ports = new Map<string, Port>();
  let host: Host | undefined;
  let leader = '';
  let silent = 0;
  let open = true;
  let waiting = new AbortController();
  let release = () => {};
  let unwatch = () => {};

  const post = (letter: Letter) => { if (open) channel.postMessage(letter); };
  const own: Port = { post: (message) => queueMicrotask(() => { if (open && host) receive(message); }) };
  const portOf = (page: string): Port => {
    const from = host!.id;
    const port = ports.get(page) ?? { post: (down: Down) => post({ from, to: page, down }) };
    ports.set(page, port);
    return port;
  };

  const lead = () => {
    const mine = (host = new Host(parts));
    leader = mine.id;
    unwatch = watchNetwork(mine);
    ports.clear();
    post({ from: leader, to: '', down: ['hi', leader, false] });
    mine.hi(own);
    return new Promise<void>((done) => { release = done; });
  };
  const stepDown = () => {
    unwatch();
    host?.shutdown(false);
    host = undefined;
    leader = '';
  };
  const queue = (steal: boolean) => {
    waiting.abort();
    const { signal } = (waiting = new AbortController());
    const held = () => (open && !signal.aborted ? lead() : undefined);
    // Taking it away must not wait, so it has no signal.
    const options: LockOptions = steal ? { steal: true } : { signal };
    together.locks.request(name, options, held).catch(() => {
      // The lock was taken away, or we don't wait for it any more.
      if (!open || signal.aborted) return;
      stepDown();
      queue(false);
      look();
    });
  };
  const look = () => post({ from: me, to: '', up: ['who'] });

  channel.onmessage = ({ data }: { data: Letter }) => {
    if ('up' in data) {
      if (!host || (data.to && data.to !== host.id)) return;
      // By a timer, as those of a frozen tab wait: its letters still come, and it must not seem to lead.
      if (data.up[0] === 'who') setTimeout(() => { if (host) portOf(data.from).post(['hi', host.id, false]); }, 0);
      else host.receive(portOf(data.from), data.up);
      return;
    }
    if (host || (data.to && data.to !== me)) return;
    if (data.down[0] === 'hi') leader = data.from;
    if (data.from !== leader) return;
    silent = 0;
    if (data.to || data.down[0] === 'hi') receive(data.down);
  };
  const timer = setInterval(() => {
    if (host) return;
    if (++silent <= MOST_SILENT) return look();
    silent = 0;
    queue(true);
  }, LOOK_MS);

  queue(false);
  look();
  return {
    send(message) {
      if (host) queueMicrotask(() => host?.receive(own, message));
      else if (leader) post({ from: me, to: leader, up: message });
    },
    close(forGood) {
      if (!host && leader) post({ from: me, to: leader, up: ['bye', forGood] });
      open = false;
      clearInterval(timer);
      waiting.abort();
      unwatch();
      host?.shutdown(forGood);
      release();
      channel.close();
    },
  };
}
