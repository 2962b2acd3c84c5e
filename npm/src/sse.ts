// The server's event stream and POST, as if they were a socket: for networks in which no WebSocket opens.

import type { Told, Wire } from './transport.js';

/** Bytes of a request body, roughly: below what the server takes at once. */
const MOST_BODY = 32 << 10;

/** Opens a session at a node's base. */
export function openSse(base: string, query: string, told: Told): Wire {
  const stop = new AbortController();
  const { signal } = stop;
  const lines: string[] = [];
  let session = '';
  let posting = false;
  let ended = false;

  const end = (code: number, reason: string) => {
    if (ended) return;
    ended = true;
    stop.abort();
    told.closed(code, reason);
  };

  const onEvent = (name: string, data: string) => {
    if (ended) return;
    if (name === 'session') {
      session = (JSON.parse(data) as { session: string }).session;
      told.opened();
    } else if (name === 'close') {
      const { code, reason } = JSON.parse(data) as { code: number; reason: string };
      end(code, reason);
    } else {
      told.text(data);
    }
  };

  const read = async () => {
    const response = await fetch(`${base}sse?${query}`, {
      signal, cache: 'no-store', credentials: 'omit', headers: { Accept: 'text/event-stream' },
    });
    if (!response.ok || !response.body) return;
    const reader = response.body.getReader();
    const events = eventReader(onEvent);
    const decoder = new TextDecoder();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      events(decoder.decode(chunk.value, { stream: true }));
    }
  };

  /** One request at a time, so that they arrive in order. */
  const post = async () => {
    if (posting) return;
    posting = true;
    while (lines.length > 0 && !ended) {
      let body = lines.shift()!;
      while (lines.length > 0 && body.length + lines[0]!.length < MOST_BODY) body += `\n${lines.shift()}`;
      // Text without a preflight request.
      const response = await fetch(`${base}session/${session}`, { method: 'POST', body, signal, credentials: 'omit' });
      if (!response.ok) break;
    }
    posting = false;
    if (lines.length > 0) end(1006, '');
  };
  const lost = () => end(1006, '');
  read().then(lost, lost);

  return {
    send(text) {
      lines.push(text);
      post().catch(lost);
    },
    close() {
      ended = true;
      stop.abort();
    },
  };
}

/** Takes pieces of an event stream and tells each event: its name ('' for none) and data. */
export function eventReader(onEvent: (name: string, data: string) => void): (piece: string) => void {
  let rest = '';
  let name = '';
  let data: string[] = [];
  return (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (data.length > 0) onEvent(name, data.join('\n'));
        name = '';
        data = [];
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line)!;
      if (field === 'event') name = value!;
      if (field === 'data') data.push(value!);
    }
  };
}
