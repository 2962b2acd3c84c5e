// The shared worker: one host for all tabs. A classic script, complete in one file, so that it can lie anywhere on the page's
// origin. Pages that connect while the module loads are queued by the host.

import { Host, type Port } from './host.js';
import { load } from './load.js';
import type { Up } from './messages.js';

const scope = globalThis as unknown as {
  onconnect: (event: MessageEvent) => void;
  addEventListener: typeof addEventListener;
};

const host = new Host({ load, mode: 'worker' });

scope.onconnect = ({ ports: [carrier] }) => {
  const port: Port = { post: (message) => carrier!.postMessage(message) };
  carrier!.onmessage = ({ data }: MessageEvent<Up | ['who']>) => (data[0] === 'who' ? host.hi(port) : host.receive(port, data));
  host.hi(port);
};
scope.addEventListener('online', () => host.network(true));
scope.addEventListener('offline', () => host.network(false));
