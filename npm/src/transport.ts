// Sockets by number. A WebSocket first; where none opens, an event stream. What an older socket still says is not told.

import type { Transport } from './messages.js';
import { openSse } from './sse.js';

/** What a socket tells. */
export interface Told {
  opened(): void;
  text(text: string): void;
  closed(code: number, reason: string): void;
}

/** An open socket, or one that is about to open. */
export interface Wire {
  send(text: string): void;
  close(code: number): void;
}

/** The same of all sockets. */
export interface ToldOfAll {
  opened(socket: number): void;
  text(socket: number, text: string): void;
  closed(socket: number, code: number, reason: string): void;
}

/** The part of the standard's WebSocket that is used; what the package `ws` exports has it, too. */
export type WebSocketClass = new (url: string) => Pick<WebSocket, 'send' | 'close' | 'onopen' | 'onmessage' | 'onclose' | 'onerror'>;

/** A WebSocket that has said nothing for so long is joined by an event stream; the first one to open serves. */
const PATIENCE_MS = 5_000;

/**
 * Closes as somebody who may be back: the server tells others after a while only (browsers let scripts choose 1000 or 3000
 * and more).
 */
export const BACK_SOON = 3001;
/** Closes for good. */
export const FOR_GOOD = 1000;

export class Sockets {
  /** What carries the newest socket. */
  transport: Transport = 'websocket';
  /** WebSockets that failed in a row, by url. The first failure may be a proxy's; after a success the second one. */
  readonly #failures: number[];
  #socket = -1;
  #wires: Wire[] = [];
  #wire: Wire | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly bases: string[],
    readonly query: string,
    readonly told: ToldOfAll,
    readonly webSocket: WebSocketClass | undefined = (globalThis as { WebSocket?: WebSocketClass }).WebSocket,
  ) {
    this.#failures = bases.map(() => 1);
  }

  open(socket: number, url: number): void {
    this.close(BACK_SOON);
    this.#socket = socket;
    const base = this.bases[url]!;
    const attempts: Transport[] = this.webSocket ? ['websocket', 'sse'] : ['sse'];
    let open = 0;
    const next = () => {
      clearTimeout(this.#timer);
      const transport = attempts.shift();
      if (transport === undefined) return;
      open++;
      const current = () => this.#socket === socket;
      const wire = openAs(transport, base, this.query, this.webSocket, {
        opened: () => {
          if (!current() || this.#wire) return;
          clearTimeout(this.#timer);
          attempts.length = 0;
          this.#wire = wire;
          this.transport = transport;
          if (transport === 'websocket') this.#failures[url] = 0;
          for (const other of this.#wires) if (other !== wire) other.close(BACK_SOON);
          this.told.opened(socket);
        },
        text: (text) => { if (current() && this.#wire === wire) this.told.text(socket, text); },
        closed: (code, reason) => {
          if (!current() || (this.#wire && this.#wire !== wire)) return;
          open--;
          if (!this.#wire) {
            if (transport === 'websocket' && ++this.#failures[url]! < 2) attempts.length = 0;
            next();
            if (open > 0) return;
          }
          this.#socket = -1;
          this.told.closed(socket, code, reason);
        },
      });
      this.#wires.push(wire);
      if (attempts.length > 0) this.#timer = setTimeout(next, PATIENCE_MS);
    };
    next();
  }

  send(text: string): void {
    this.#wire?.send(text);
  }

  close(code: number): void {
    clearTimeout(this.#timer);
    this.#socket = -1;
    this.#wire = undefined;
    for (const wire of this.#wires.splice(0)) wire.close(code);
  }
}

function openAs(transport: Transport, base: string, query: string, webSocket: WebSocketClass | undefined, told: Told): Wire {
  if (transport === 'sse') return openSse(base, query, told);
  let socket: InstanceType<WebSocketClass>;
  try {
    socket = new webSocket!(`${base.replace(/^http/, 'ws')}connect?${query}`);
  } catch {
    // Not allowed here: a page over TLS and a server without, say. The caller is not ready to hear it yet.
    queueMicrotask(() => told.closed(1006, ''));
    return { send() {}, close() {} };
  }
  socket.onopen = () => told.opened();
  socket.onmessage = ({ data }: { data: unknown }) => told.text(String(data));
  socket.onclose = ({ code, reason }: { code: number; reason: string }) => told.closed(code, reason);
  socket.onerror = () => {};
  return {
    send: (text) => socket.send(text),
    close: (code) => socket.close(code),
  };
}
