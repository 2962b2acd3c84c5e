// Functions of the application: runs them so that none can break the client.

import { CometError } from './errors.js';
import type { Events } from './types.js';

export type EventSource = ReturnType<typeof createEvents>;
type Listener = (event: never) => unknown;

export function createEvents() {
  const listeners: { [type: string]: Set<Listener> } = {};

  const report = (error: CometError): void => {
    if (listeners.error?.size) emit('error', error);
    else console.error(error);
  };
  /** Runs a function, and waits for what it returns; false when it failed. */
  const run = async (handler: Listener, event: object, fail: (error: CometError) => void = report): Promise<boolean> => {
    try {
      await handler(event as never);
      return true;
    } catch (cause) {
      fail(new CometError('handler_failed', `${cause}`, (event as { channel?: string }).channel, cause));
      return false;
    }
  };
  const emit = <Type extends keyof Events>(type: Type, event: Events[Type]) =>
    // What fails at an error is told to nobody else.
    listeners[type]?.forEach((handler) => void run(handler, event, type === 'error' ? console.error : report));
  const on = <Type extends keyof Events>(type: Type, handler: (event: Events[Type]) => unknown): (() => void) =>
    listen((listeners[type] ??= new Set()), handler);
  return { emit, on, report, run };
}

/** Adds a function, even one that is there already. */
export function listen(listeners: Set<Listener>, handler: Listener): () => void {
  const own: Listener = (event) => handler(event);
  listeners.add(own);
  return () => void listeners.delete(own);
}
