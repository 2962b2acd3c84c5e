// Functions of the application: runs them so that none can break the client.

import { CometError } from './errors.js';
import type { Events } from './types.js';

export type EventSource = ReturnType<typeof createEvents>;

export function createEvents() {
  const handlers: { [type: string]: Set<(event: never) => unknown> } = {};

  /** Tells all who listen; false when nobody does. */
  const emit = <Type extends keyof Events>(type: Type, event: Events[Type]): boolean => {
    const all = handlers[type];
    all?.forEach((handler) => {
      // What fails at an error is told to nobody else.
      if (type === 'error') Promise.resolve(event as never).then(handler).catch(console.error);
      else void run(handler, event as never);
    });
    return !!all?.size;
  };
  const report = (error: CometError): void => {
    if (!emit('error', error)) console.error(error);
  };
  /** Runs a function, and waits for what it returns; false when it failed. */
  const run = async <T>(handler: (event: T) => unknown, event: T): Promise<boolean> => {
    try {
      await handler(event);
      return true;
    } catch (cause) {
      report(new CometError('handler_failed', 'a handler failed', (event as { channel?: string }).channel, { cause }));
      return false;
    }
  };
  const on = <Type extends keyof Events>(type: Type, handler: (event: Events[Type]) => unknown): (() => void) => {
    // The same function may be given twice.
    const own = (event: Events[Type]) => handler(event);
    (handlers[type] ??= new Set()).add(own as never);
    return () => void handlers[type]!.delete(own as never);
  };
  return { emit, on, report, run };
}
