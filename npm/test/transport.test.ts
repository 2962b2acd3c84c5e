import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { eventReader } from '../src/sse.js';
import { Sockets, type WebSocketClass } from '../src/transport.js';

test('event streams are read in any pieces', () => {
  const stream = 'event: session\r\ndata: {"a":1}\r\n\r\n: comment\nid: 3\ndata:x\ndata: y\n\nevent: none\n\ndata: z\n\n';
  for (const size of [1, 3, 1000]) {
    const events: string[] = [];
    const read = eventReader((name, data) => events.push(`${name}|${data}`));
    for (let at = 0; at < stream.length; at += size) read(stream.slice(at, at + size));
    assert.deepEqual(events, ['session|{"a":1}', '|x\ny', '|z']);
  }
});

/** Opens never, as behind a proxy that knows no WebSocket. */
class Blocked {
  onclose: ((event: { code: number; reason: string }) => void) | undefined;
  constructor() {
    queueMicrotask(() => this.onclose?.({ code: 1006, reason: '' }));
  }
  send(): void {}
  close(): void {}
}

/** Collects what sockets tell, and lets tests wait for it. */
function listener() {
  const told: string[] = [];
  let wake = () => {};
  const tell = (what: string) => {
    told.push(what);
    wake();
  };
  return {
    told,
    of: {
      opened: (socket: number) => tell(`opened ${socket}`),
      text: (socket: number, text: string) => tell(`text ${socket} ${text}`),
      closed: (socket: number, code: number, reason: string) => tell(`closed ${socket} ${code} ${reason}`),
    },
    async until(count: number) {
      while (told.length < count) await new Promise<void>((next) => { wake = next; });
      return told;
    },
  };
}

test('where no WebSocket opens, an event stream does', async () => {
  const bodies: string[] = [];
  let stream!: ServerResponse;
  const server = createServer(async (request, response) => {
    if (request.url === '/sse?v=1&tenant=2') {
      stream = response;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: session\ndata: {"session":"s"}\n\n');
      return;
    }
    assert.equal(request.url, '/session/s');
    let body = '';
    for await (const piece of request) body += piece;
    bodies.push(body);
    response.writeHead(202).end();
    if (body.includes('last')) stream.write('data: {"id":1}\n\nevent: close\ndata: {"code":4000,"reason":"restart retry_after_ms=5"}\n\n');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const { of, told, until } = listener();
  const sockets = new Sockets([base], 'v=1&tenant=2', of, Blocked as unknown as WebSocketClass);
  sockets.open(7, 0);
  await until(1);
  assert.equal(sockets.transport, 'sse');
  sockets.send('first');
  sockets.send('second');
  sockets.send('last');
  await until(3);
  assert.deepEqual(told, ['opened 7', 'text 7 {"id":1}', 'closed 7 4000 restart retry_after_ms=5']);
  assert.equal(bodies.join('\n'), 'first\nsecond\nlast');
  // What an older socket says does not count.
  sockets.open(8, 0);
  sockets.open(9, 0);
  await until(4);
  assert.equal(told[3], 'opened 9');
  sockets.close(3001);
  server.close();
  server.closeAllConnections();
});

test('when neither opens, that is told once', async () => {
  const { of, told, until } = listener();
  const sockets = new Sockets(['http://127.0.0.1:1/'], 'v=1', of, Blocked as unknown as WebSocketClass);
  sockets.open(1, 0);
  await until(1);
  assert.deepEqual(told, ['closed 1 1006 ']);
});
