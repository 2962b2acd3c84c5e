// What is asked once and answered once. Calls without an answer are told to a new host again: a question changes nothing, and
// a publication has an id by which the server knows it again.

import { closedError, ConnectionError, errorOf, RefusedError } from './errors.js';
import type { Call, Down, Up } from './messages.js';
import type { CallOptions } from './types.js';

/** A publication older than this is not sent again: the server must still know its id when the new host gives up. */
const REPEAT_MS = 50_000;

interface Waiting {
  call: Call;
  began: number;
  resolve(answer: never): void;
  reject(error: unknown): void;
}

export function createCalls(send: (message: Up) => void) {
  const open = new Map<number, Waiting>();
  let last = 0;

  const take = (id: number) => {
    const waiting = open.get(id);
    open.delete(id);
    return waiting;
  };
  return {
    ask: <Answer>(call: Call, { signal }: CallOptions = {}): Promise<Answer> =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const id = ++last;
        open.set(id, { call, began: Date.now(), resolve, reject });
        signal?.addEventListener('abort', () => take(id)?.reject(signal.reason));
        send(['call', id, call]);
      }),
    /** The host says what came of a call. */
    hear: (message: Down) => {
      const waiting = take(message[1] as number);
      if (message[0] === 'answer') {
        // {"id":…,"kind":answer}
        waiting?.resolve(Object.values(JSON.parse(message[2]))[1] as never);
      } else if (message[0] === 'refused' && waiting) {
        const [, , code, text, retryAfter] = message;
        const [, channel] = waiting.call;
        const error = errorOf(code, text, typeof channel === 'string' ? channel : undefined);
        if (retryAfter) (error as RefusedError).retryAfter = retryAfter;
        waiting.reject(error);
      }
    },
    /** To a host that knows none of them. */
    tellAll: () =>
      open.forEach(({ call, began }, id) => {
        if (call[0] === 'publish' && Date.now() - began > REPEAT_MS) {
          take(id)!.reject(new ConnectionError('timeout', 'it is too late to send it again', call[1]));
        } else {
          send(['call', id, call]);
        }
      }),
    close: () => open.forEach((_, id) => take(id)!.reject(closedError())),
  };
}
