// The package as browsers see it. Small: the connection itself lives in a worker, or is loaded when there is none.

import { absolute, type Carrier, type Carry, createClient } from './client.js';
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
  return createClient(options, wasm, (name, receive, tellMode) => {
    let carrier: Carrier;
    /** Anything but a worker; the code of it is loaded first. */
    const fallBack = () => {
      let open = true;
      carrier = { send() {}, close() { open = false; } };
      import('./fallback.js').then(
        ({ carry }) => { if (open) carrier = carry(`cometql ${VERSION} ${name}`, mode, receive, tellMode); },
        (error) => { if (open) receive(['fail', String(error)]); },
      );
    };
    if (mode === 'worker') {
      // Keyed by its address, since not all browsers tell workers apart by name.
      worker.searchParams.set('v', VERSION + name);
      carrier = carryToWorker(worker, receive, fallBack);
    } else {
      fallBack();
    }
    return { send: (message) => carrier.send(message), close: (forGood) => carrier.close(forGood) };
  });
}

function carryToWorker(url: URL, receive: (message: Down) => void, failed: () => void): Carrier {
  let port: MessagePort | undefined;
  const close = () => {
    clearTimeout(timer);
    port?.close();
    receive = failed = () => {};
  };
  const fail = () => {
    const then = failed;
    close();
    then();
  };
  const timer = setTimeout(fail, HI_MS);
  try {
    const worker = new SharedWorker(url);
    worker.onerror = fail;
    port = worker.port;
    port.onmessage = ({ data }: MessageEvent<Down>) => {
      if (data[0] === 'hi') clearTimeout(timer);
      if (data[0] === 'fail') fail();
      else receive(data);
    };
  } catch {
    queueMicrotask(fail);
  }
  return {
    send: (message) => port?.postMessage(message),
    close(forGood) {
      port?.postMessage(['bye', forGood]);
      close();
    },
  };
}

export type { Carry };
