// The package as Node.js and other programs see it: a connection for each client, no worker. Over a WebSocket where there
// is one (a global one, or the option), else over an event stream.

import { readFile } from 'node:fs/promises';
import init, { Hub } from '#wasm';
import { absolute, createClient } from './client.js';
import type { Load } from './hub.js';
import { carryToPage } from './page.js';
import type { WebSocketClass } from './transport.js';
import type { Client, Options } from './types.js';

export { CometError, ConnectionError, RefusedError } from './errors.js';

const load: Load = async (wasm) => {
  const url = new URL(wasm);
  await init({ module_or_path: url.protocol === 'file:' ? await readFile(url) : url.href });
  return Hub;
};

/** Connects to a server. Without an absolute address this is a page that is rendered on a server: it never connects. */
export function connect(options: Options = {}): Client {
  const { url = '', urls = [url] } = options;
  if (!urls.every((given) => URL.canParse(given))) {
    return createClient({ ...options, urls: [] }, '', () => {});
  }
  const parts = { load, mode: 'page' as const, WebSocket: options.WebSocket as WebSocketClass | undefined };
  const wasm = absolute(options.wasmUrl ?? new URL('./cometql.wasm', import.meta.url));
  return createClient({ ...options, mode: 'page' }, wasm, (_name, receive, use) => use(carryToPage(parts, receive)));
}
