// Private messages: one counts as handled when all handlers of the page have handled it.

import type { EventSource } from './events.js';
import type { Up } from './messages.js';
import type { Message } from './types.js';

/** Messages that are remembered as handled. */
const MOST_HANDLED = 1000;

export function createInbox(send: (message: Up) => void, { run }: EventSource) {
  const handlers = new Set<(message: Message<never>) => unknown>();
  /** False while handlers run. */
  const handled = new Map<number, boolean>();

  return {
    add: <T>(handler: (message: Message<T>) => unknown): (() => void) => {
      const own = (message: Message<never>) => handler(message);
      if (handlers.add(own).size < 2) send(['inbox', true]);
      return () => {
        if (handlers.delete(own) && !handlers.size) send(['inbox', false]);
      };
    },
    /** A message came, perhaps again. */
    hear: async (offset: number, text: string): Promise<void> => {
      if (handled.get(offset) === false) return;
      if (!handled.get(offset)) {
        handled.set(offset, false);
        const message = { event: '', ...JSON.parse(text) };
        const runs = await Promise.all([...handlers].map((handler) => run(handler, message)));
        handled.delete(offset);
        if (runs.includes(false)) return;
        handled.set(offset, true);
        if (handled.size > MOST_HANDLED) handled.delete(handled.keys().next().value!);
      }
      send(['handled', offset]);
    },
    /** To a host that does not know. */
    tellAll: () => handlers.size && send(['inbox', true]),
    close: () => handlers.clear(),
  };
}
