// Private messages: one counts as handled when all handlers of the page have handled it.

import { type EventSource, listen } from './events.js';
import type { Up } from './messages.js';
import type { Message } from './types.js';

/** Messages that are remembered as handled. */
const MOST_HANDLED = 1000;

export function createInbox(send: (message: Up) => void, { run }: EventSource) {
  const handlers = new Set<(message: never) => unknown>();
  /** False while handlers run. */
  const handled = new Map<number, boolean>();

  const tellAll = () => send(['inbox', handlers.size > 0]);
  return {
    add: <T>(handler: (message: Message<T>) => unknown): (() => void) => {
      const off = listen(handlers, handler);
      if (handlers.size < 2) tellAll();
      return () => {
        off();
        if (!handlers.size) tellAll();
      };
    },
    /** A message came, perhaps again. */
    hear: async (offset: number, text: string): Promise<void> => {
      if (!handled.has(offset)) {
        handled.set(offset, false);
        const message = { event: '', ...JSON.parse(text) };
        const runs = await Promise.all([...handlers].map((handler) => run(handler, message)));
        handled.delete(offset);
        if (runs.includes(false)) return;
        handled.set(offset, true);
        if (handled.size > MOST_HANDLED) handled.delete(handled.keys().next().value!);
      }
      if (handled.get(offset)) send(['handled', offset]);
    },
    tellAll,
    close: () => handlers.clear(),
  };
}
