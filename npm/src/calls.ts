// What is asked once and answered once. Calls without an answer are told to a new host again: a question changes nothing, and
// a publication has an id by which the server knows it again.

import { closedError, errorOf, type RefusedError } from './errors.js';
import type { Call, Up } from './messages.js';
import type { CallOptions } from './types.js';

export function createCalls(send: (message: Up) => void) {
  /** Each with what settles it: with an error or with an answer. */
  const open = new Map<number, [message: Up & { 3: Call }, settle: (error: unknown, answer?: unknown) => void]>();
  let last = 0;

  return {
    ask: <Answer>(call: Call, { signal }: CallOptions = {}): Promise<Answer> =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const id = ++last;
        const message = ['call', id, Date.now(), call] satisfies Up;
        open.set(id, [message, (error, answer) => {
          open.delete(id);
          if (error) reject(error);
          else resolve(answer as Answer);
        }]);
        signal?.addEventListener('abort', () => reject(signal.reason));
        send(message);
      }),
    /** The host says what came of a call: `{"id":…,"kind":answer}`. */
    answer: (id: number, text: string) => open.get(id)?.[1](0, Object.values(JSON.parse(text))[1]),
    refuse: (id: number, code: string, text: string, retryAfter: number) => {
      const [message, settle] = open.get(id) ?? [];
      const error = errorOf(code, text, message?.[3][1] as string) as RefusedError;
      if (retryAfter) error.retryAfter = retryAfter;
      settle?.(error);
    },
    /** To a host that knows none of them. */
    tellAll: () => open.forEach(([message]) => send(message)),
    close: () => open.forEach(([, settle]) => settle(closedError())),
  };
}
