// ws, a WebSocket client that checks what it gets against RFC 6455: texts to and fro, fragments, pings, closes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import WebSocket from 'ws';
import { cases, channel } from './common.mjs';

const LARGEST = 64 * 1024;
/** How long one thing may take, in ms, on however slow a machine. */
const PATIENCE = 60_000;
const url = `ws://${process.env.COMETQL_HTTP}/connect?v=1`;

async function open(options) {
  const socket = new WebSocket(url, options);
  socket.replies = [];
  socket.pushes = [];
  socket.on('message', (data, isBinary) => {
    assert.equal(isBinary, false);
    const message = JSON.parse(data);
    (message.push ? socket.pushes : socket.replies).push(message);
    socket.emit('news');
  });
  await once(socket, 'open');
  return socket;
}

async function until(socket, done) {
  while (!done()) await once(socket, 'news', { signal: AbortSignal.timeout(PATIENCE) });
}

async function closed(socket) {
  const [code] = await once(socket, 'close', { signal: AbortSignal.timeout(PATIENCE) });
  return code;
}

// ws offers permessage-deflate; the server does not take it.
const socket = await open({ perMessageDeflate: true });
assert.equal(socket.extensions, '');
socket.send(JSON.stringify({ id: 1, subscribe: channel }));
await until(socket, () => socket.replies.length === 1);
assert.equal(socket.replies[0].subscribed.channel, channel);

const texts = cases.filter((text) => Buffer.byteLength(text) <= LARGEST);
assert.ok(texts.length >= 9);
const dataOf = (text) => {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' ? value : text;
  } catch {
    return text;
  }
};
const publish = (text) => JSON.stringify({ id: 2, publish: { channel, data: text } });
for (const text of texts) socket.send(publish(text));
await until(socket, () => socket.pushes.length === texts.length);
assert.deepEqual(socket.pushes.map((push) => push.data), texts.map(dataOf));

// The same in fragments of 7 bytes, which cut characters, with a ping in the middle.
socket.pushes.length = 0;
const whole = Buffer.from(publish(texts[7]));
const ponged = once(socket, 'pong', { signal: AbortSignal.timeout(PATIENCE) });
for (let at = 0; at < whole.length; at += 7) {
  const last = at + 7 >= whole.length;
  socket.send(whole.subarray(at, at + 7), { fin: last, binary: false });
  if (at === 7) socket.ping('between');
}
assert.equal((await ponged)[0].toString(), 'between');
await until(socket, () => socket.pushes.length === 1);
assert.deepEqual(socket.pushes[0].data, dataOf(texts[7]));

socket.close(4123, 'enough');
assert.equal(await closed(socket), 4123);

const binary = await open();
binary.send(Buffer.from('{}'));
assert.equal(await closed(binary), 1003);
const long = await open();
long.send('x'.repeat(2 * LARGEST));
assert.equal(await closed(long), 1009);
