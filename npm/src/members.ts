// Who is in a channel, kept up to date: for React and Vue.

import type { CometError } from './errors.js';
import type { Client, Member } from './types.js';

/** Subscribes, asks who is there, and tells it anew with each join and leave. Returns what ends it. */
export function watchMembers(client: Client, channel: string, tell: (members: Member[]) => void): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  let members: Member[] = [];

  const ask = async () => {
    try {
      tell((members = await client.presence(channel, { signal })));
    } catch (error) {
      if (!signal.aborted && (error as CometError).code !== 'closed') console.error(error);
    }
  };
  const subscription = client.subscribe(channel, () => {}, {
    presence: ({ type, member }) => {
      const at = members.findIndex(({ user, uuid }) => user === member.user && uuid === member.uuid);
      if (type === 'join') members = [...members, member];
      else if (at >= 0) members = members.filter((_, other) => other !== at);
      tell(members);
    },
  });
  // What happened before an answer is in it: both come over one connection, in order. After an interruption it is asked again.
  subscription.ready.then(ask, () => {});
  const ends = [client.on('recovered', again), client.on('gap', again)];
  function again({ channel: of }: { channel: string }) {
    if (of === channel) void ask();
  }
  return () => {
    stop.abort();
    ends.forEach((end) => end());
    subscription.unsubscribe();
  };
}
