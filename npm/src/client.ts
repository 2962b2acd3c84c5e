// A page's side of the connection. All that the page wants is told to every host that it meets, so that neither a new worker
// nor a new leader loses anything. Decides nothing about the connection.

import { createCalls } from './calls.js';
import { closedError, CometError, errorOf } from './errors.js';
import { createEvents } from './events.js';
import { createInbox } from './inbox.js';
import type { Down, Link, Up } from './messages.js';
import { createStreams } from './streams.js';
import type { Client, Options, State } from './types.js';

/** What carries messages to the host and back. After `close` nothing comes any more. */
export interface Carrier {
  send(message: Up): void;
  close(forGood: boolean): void;
}

/** Reaches a host under the name that pages of one identity share: by this carrier, then perhaps by another one. */
export type Carry = (name: string, receive: (message: Down) => void, use: (carrier: Carrier) => void) => void;

/** Unread messages after which the host is told what was read. */
const ACK_MESSAGES = 32;

export function createClient(options: Options, wasm: string, carry: Carry): Client {
  const { url = '/', urls = [url], tenant = 0, user, hash, getToken, timing = {}, uuid = ownUuid() } = options;
  let { token } = options;
  const bases = urls.map(absolute);
  const closing = new AbortController();
  const { signal } = closing;
  let state: State = { status: 'connecting', mode: options.mode ?? 'worker', transport: 'websocket', tabs: 1 };
  let asks = !!getToken;
  let carrier: Carrier | undefined;
  /** The host that knows all that we want; '' = none. */
  let host = '';
  let read = 0;
  let told = 0;

  /** What no host knows yet is told when one says hi. */
  const send = (message: Up) => { if (host) carrier!.send(message); };
  const events = createEvents();
  const streams = createStreams(send, events);
  const calls = createCalls(send);
  const inbox = createInbox(send, events);
  const parts = [streams, inbox, calls];

  const turn = (next: State) => events.emit('state', (state = next));
  const stop = (error: CometError) => turn({ ...state, status: 'stopped', error });

  /** Undefined for nobody, null when it fails. */
  const askForToken = async () => {
    try {
      return (token = (await getToken!()) || undefined);
    } catch (cause) {
      events.report(new CometError('token_failed', `${cause}`, undefined, cause));
      return null;
    }
  };

  /** What is said of other things than streams. */
  const hear: { [what: string]: (...said: never[]) => unknown } = {
    fail: (why: string) => stop(errorOf('start_failed', why)),
    token: () => askForToken().then((given) => send(['token', given])),
    state: ({ why, ...next }: Link) => (why ? stop(errorOf(...why)) : turn(next)),
    message: inbox.hear,
    answer: calls.answer,
    refused: calls.refuse,
    error: (code: string, text: string) => events.report(errorOf(code, text)),
  };
  const receive = ([what, ...rest]: Down) => {
    if (what === 'hi') {
      if (host === rest[0] && !rest[1]) return;
      host = rest[0] as string;
      read = told = 0;
      send(['join', { urls: bases, tenant, uuid, token, user, hash, asks, wasm, timing }]);
      parts.forEach((part) => part.tellAll());
    } else {
      if (++read - told >= ACK_MESSAGES || what === 'ping') send(['ack', (told = read)]);
      const said = rest as never as [never, never, never];
      if (hear[what]) hear[what](...(said as never[]));
      else streams.hear(what, ...said);
    }
  };

  const begin = async () => {
    // Whose connection it is must be known; who gives no token is nobody.
    if (asks && !token && !user) asks = (await askForToken()) !== undefined;
    if (signal.aborted || carrier) return;
    let who: unknown = user;
    try {
      // The user of a JWT. The name that it is for is no secret.
      who ??= token ? JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'))).sub : asks && randomUuid();
    } catch {
      // Of something else, nobody that another page could be.
      who = randomUuid();
    }
    let mine: Carrier | undefined;
    carry(JSON.stringify([bases, tenant, who]), receive, (next) => {
      // The page may have been left meanwhile.
      if (carrier === mine && !signal.aborted) mine = carrier = next;
      else next.close(false);
    });
  };
  const leave = (forGood: boolean) => {
    host = '';
    carrier?.close(forGood);
    carrier = undefined;
  };
  if (globalThis.document) {
    // The controller is their option `signal`, too.
    addEventListener('visibilitychange', () => document.hidden || send(['online']), closing);
    addEventListener('pagehide', () => leave(false), closing);
    addEventListener('pageshow', ({ persisted }) => persisted && begin(), closing);
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
    inbox: inbox.add,
    publish: async (channel, data, options = {}) =>
      ask(['publish', channel, options.event ?? '', JSON.stringify(data ?? null), randomUuid()], options),
    presence: async (channel, options) => (await ask<{ members: never }>(['presence', channel], options)).members,
    presenceCount: async (channel, options) => (await ask<{ count: number }>(['presenceCount', channel], options)).count,
    history: async (channel, options = {}) =>
      ask(['history', channel, options.since, options.limit], options),
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
export const absolute = (url: string | URL): string => new URL(url, globalThis.location?.href).href;

/** A UUID; `crypto.randomUUID` wants a secure context. */
const randomUuid = (): string =>
  '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+digit / 4)))).toString(16));

/** This browser's name in presence lists. */
function ownUuid(): string {
  try {
    return (localStorage.cometql ||= randomUuid());
  } catch {
    // It is another one each time.
    return randomUuid();
  }
}
