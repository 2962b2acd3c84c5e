// The package as browsers see it. Small: the connection itself lives in a worker, or is loaded when there is none.

import { absolute, createClient } from './client.js';
import type { Down, Up } from './messages.js';
import type { Client, Options } from './types.js';

export { CometError, ConnectionError, type ErrorCode, RefusedError } from './errors.js';
export type { Mode, Position, Status, Timing, Transport } from './messages.js';
export type * from './types.js';

declare const VERSION: string;

/** How long a worker may take to say hi, and how often a page looks whether it is still there. */
const LOOK_MS = 3_000;
/**
 * How many times it looks in vain before it starts another one: browsers may run the worker in the process of a tab, and tell
 * nobody when that one crashes.
 */
const MOST_SILENT = 2;

/** Connects to a server. Nothing is waited for: subscriptions and calls go out when the connection is there. */
export function connect(options: Options = {}): Client {
  const { mode = 'worker', workerUrl, wasmUrl } = options;
  // Bundlers find the files by these very words.
  const wasm = absolute(wasmUrl ?? new URL('./cometql.wasm', import.meta.url));
  const worker = new URL(absolute(workerUrl ?? new URL('./worker.js', import.meta.url)));
  return createClient(options, wasm, (name, receive, use) => {
    /** Anything but a worker; the code of it is loaded first. */
    const fallBack = () => {
      import('./fallback.js').then(({ carry }) => carry(VERSION + name, mode, receive, use), (error) => receive(['fail', `${error}`]));
    };
    let port: MessagePort | undefined;
    let silent = 0;
    /** The worker has said hi to this port. */
    let known = false;
    const post = (message: Up | ['who']) => port?.postMessage(message);
    const close = () => {
      clearInterval(timer);
      port?.close();
      port = undefined;
    };
    const fail = () => {
      if (!port) return;
      close();
      fallBack();
    };
    const start = () => {
      const shared = new SharedWorker(worker);
      const mine = (port = shared.port);
      shared.onerror = fail;
      mine.onmessage = ({ data }: MessageEvent<Down>) => {
        if (port !== mine) return;
        silent = 0;
        if (data[0] === 'fail') return fail();
        if (data[0] === 'hi') {
          // It may be the one that the page has known, and does not know this port.
          data[2] ||= !known;
          known = true;
        }
        receive(data);
      };
    };
    try {
      if (mode !== 'worker') throw 0;
      // Keyed by its address, since not all browsers tell workers apart by name.
      worker.searchParams.set('for', VERSION + name);
      start();
    } catch {
      return fallBack();
    }
    const timer = setInterval(() => {
      if (!known) return fail();
      if (silent++ < MOST_SILENT) return post(['who']);
      post(['bye', false]);
      port?.close();
      known = false;
      start();
    }, LOOK_MS);
    use({
      send: post,
      close(forGood) {
        post(['bye', forGood]);
        close();
      },
    });
  });
}
