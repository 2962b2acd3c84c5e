// The package as browsers see it. Small: the connection itself lives in a worker, or is loaded when there is none.

import { absolute, createClient } from './client.js';
import type { Down } from './messages.js';
import type { Client, Options } from './types.js';

export { CometError, ConnectionError, type ErrorCode, RefusedError } from './errors.js';
export type { Mode, Position, Status, Timing, Transport } from './messages.js';
export type * from './types.js';

declare const VERSION: string;

/** How long a worker may take to say hi. */
const HI_MS = 3_000;

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
    const close = () => {
      clearTimeout(timer);
      port?.close();
      port = undefined;
    };
    const fail = () => {
      if (!port) return;
      close();
      fallBack();
    };
    try {
      if (mode !== 'worker') throw 0;
      // Keyed by its address, since not all browsers tell workers apart by name.
      worker.searchParams.set('for', VERSION + name);
      const shared = new SharedWorker(worker);
      shared.onerror = fail;
      ({ port } = shared);
    } catch {
      return fallBack();
    }
    const timer = setTimeout(fail, HI_MS);
    port.onmessage = ({ data }: MessageEvent<Down>) => {
      if (data[0] === 'fail') return fail();
      if (data[0] === 'hi') clearTimeout(timer);
      if (port) receive(data);
    };
    use({
      send: (message) => port?.postMessage(message),
      close(forGood) {
        port?.postMessage(['bye', forGood]);
        close();
      },
    });
  });
}
