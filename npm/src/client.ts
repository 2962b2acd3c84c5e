// A page's side of the connection. All that the page wants is told to every host that it meets, so that neither a new worker
// nor a new leader loses anything. Decides nothing about the connection.

import { createCalls } from './calls.js';
import { closedError, CometError, ConnectionError, type ErrorCode } from './errors.js';
import { createEvents } from './events.js';
import { createInbox } from './inbox.js';
import type { Down, Join, Mode, Up } from './messages.js';
import { createStreams } from './streams.js';
import type { Client, Options, State } from './types.js';

/** What carries messages to the host and back. After `close` nothing comes any more. */
export interface Carrier {
  send(message: Up): void;
  close(forGood: boolean): void;
}

/** Reaches a host under the name that pages of one identity share. */
export type Carry = (name: string, receive: (message: Down) => void, tellMode: (mode: Mode) => void) => Carrier;

/** Unread messages after which the host is told what was read. */
const ACK_MESSAGES = 32;

export function createClient(options: Options, wasm: string, carry: Carry): Client {
  const { url = '/', urls = [url], tenant = 0, user, hash, getToken, timing = {} } = options;
  const uuid = options.uuid ?? ownUuid();
  let { mode = 'worker', token } = options;
  const bases = urls.map((given) => absolute(given));
  const closing = new AbortController();
  const { signal } = closing;
  let state: State = { status: 'connecting', mode, transport: 'websocket', tabs: 1 };
  let join: Join;
  let carrier: Carrier | undefined;
  /** The host that knows all that we want; '' = none. */
  let host = '';
  let read = 0;
  let told = 0;

  /** What no host knows yet is told when one says hi. */
  const send = (message: Up) => { if (host) carrier?.send(message); };
  const events = createEvents();
  const streams = createStreams(send, events);
  const calls = createCalls(send);
  const inbox = createInbox(send, events);
  const parts = [streams, inbox, calls];

  const turn = (next: Omit<State, 'mode'>) => {
    state = { ...next, mode };
    events.emit('state', state);
  };
  const stop = (error: CometError) => turn({ ...state, status: 'stopped', error });

  const askForToken = async () => {
    try {
      return (token = (await getToken!()) || undefined);
    } catch (cause) {
      events.report(new CometError('token_failed', 'getToken failed', undefined, { cause }));
      return null;
    }
  };

  const receive = (message: Down) => {
    if (message[0] === 'hi') {
      if (host === message[1] && !message[2]) return;
      host = message[1];
      read = told = 0;
      send(['join', { ...join, token }]);
      parts.forEach((part) => part.tellAll());
      return;
    }
    if (++read - told >= ACK_MESSAGES || message[0] === 'ping') send(['ack', (told = read)]);
    switch (message[0]) {
      case 'fail':
        return stop(new ConnectionError('start_failed', message[1]));
      case 'token':
        return void askForToken().then((given) => send(['token', given ?? null]));
      case 'state': {
        const { why, ...link } = message[1];
        return why ? stop(new ConnectionError(why[0] as ErrorCode, why[1])) : turn(link);
      }
      case 'message':
        return void inbox.hear(message[1], message[2]);
      case 'answer':
      case 'refused':
        return calls.hear(message);
      case 'error':
        return events.report(new ConnectionError(message[1] as ErrorCode, message[2]));
      default:
        streams.hear(message);
    }
  };

  const begin = async () => {
    let asks = !!getToken;
    // Whose connection it is must be known; who gives no token is nobody.
    if (asks && !token && user === undefined) asks = (await askForToken()) !== undefined;
    if (signal.aborted || carrier) return;
    join = { urls: bases, tenant, uuid, user, hash, asks, wasm, timing };
    const who = user ?? (token ? subject(token) : asks ? randomUuid() : '');
    carrier = carry(JSON.stringify([bases, tenant, who]), receive, (next) => { mode = next; });
  };
  const leave = (forGood: boolean) => {
    host = '';
    carrier?.close(forGood);
    carrier = undefined;
  };
  if (typeof document !== 'undefined') {
    const hear = (target: EventTarget, type: string, handler: (event: never) => void) =>
      target.addEventListener(type, handler as never, { signal });
    hear(document, 'visibilitychange', () => document.hidden || send(['online']));
    hear(window, 'pagehide', () => leave(false));
    hear(window, 'pageshow', ({ persisted }: PageTransitionEvent) => persisted && begin());
  }
  void begin();

  const live = <Arguments extends unknown[], Result>(method: (...given: Arguments) => Result) => (...given: Arguments): Result => {
    if (signal.aborted) throw closedError();
    return method(...given);
  };
  const ask = live(calls.ask) as typeof calls.ask;
  return {
    get state() {
      return state;
    },
    on: events.on,
    subscribe: live(streams.subscribe) as Client['subscribe'],
    inbox: live(inbox.add) as Client['inbox'],
    async publish(channel, data, { event = '', signal } = {}) {
      return ask(['publish', channel, event, JSON.stringify(data ?? null), randomUuid()], { signal });
    },
    presence: async (channel, options) => (await ask<{ members: never }>(['presence', channel], options)).members,
    presenceCount: async (channel, options) => (await ask<{ count: number }>(['presenceCount', channel], options)).count,
    history: async (channel, { limit = 0, since, signal } = {}) =>
      ask(['history', channel, since?.epoch ?? '', since?.offset ?? 0, limit], { signal }),
    userData: async (user, options) => (await ask<{ data?: string }>(['userData', user], options)).data ?? null,
    userStatus: async (user, options) => ask(['userStatus', user], options),
    reconnect: () => send(['open']),
    close() {
      if (signal.aborted) return;
      closing.abort();
      parts.forEach((part) => part.close());
      leave(true);
      stop(closedError());
    },
  };
}

/** An address as other pages and the worker understand it. */
export const absolute = (url: string | URL): string =>
  new URL(url, typeof location === 'undefined' ? undefined : location.href).href;

/** The user of a JWT; of something else, nobody that another page could be. The name that it is for is no secret. */
function subject(token: string): unknown {
  try {
    return JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'))).sub;
  } catch {
    return randomUuid();
  }
}

/** A UUID; `crypto.randomUUID` wants a secure context. */
const randomUuid = (): string =>
  '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+digit / 4)))).toString(16));

/** This browser's name in presence lists. */
function ownUuid(): string {
  let uuid = randomUuid();
  try {
    localStorage.cometql = uuid = localStorage.cometql || uuid;
  } catch {
    // It is another one each time.
  }
  return uuid;
}
