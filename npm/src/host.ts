// Holds the connection for any number of pages: in a worker, in a leading tab, or in the one page itself. Which of them it
// is makes no difference here. Numbers tabs, carries out what the hub wants, and bounds what waits for pages.

import type { Hub, HubClass, Load, Shell } from './hub.js';
import type { Call, Down, Join, Link, Mode, Position, Status, Up } from './messages.js';
import { BACK_SOON, FOR_GOOD, Sockets, type WebSocketClass } from './transport.js';

/** The way to one page. */
export interface Port {
  post(message: Down): void;
}

/** Messages, and characters of them, that may wait unread for a page. It is forgotten above, and joins again when it reads. */
const MOST_UNREAD = 4096;
const MOST_UNREAD_CHARACTERS = 8 << 20;
/**
 * How often pages are asked for a sign of life, and how many of them they may miss. A hidden page answers at once; one that is
 * frozen does not, and joins again when it wakes up. That is all there is to see of a crash: ports tell nothing, and a lock
 * for each page would keep browsers from freezing and caching pages.
 */
const PING_MS = 20_000;
const MOST_SILENT = 3;
/** How long a page may think about a token before another one is asked. */
const TOKEN_MS = 20_000;
/** How long the subscriptions of a page outlive it when it is left: as long as the server waits before it tells a leave. */
const GRACE_MS = 5_000;
/** How long the connection outlives its last page, which may be loading anew. */
const LINGER_MS = 10_000;
/**
 * A publication that a page asked another host for is sent again if it is not older than this: the server must still know its id
 * when the hub gives up.
 */
const REPEAT_MS = 50_000;
/** The longest that timers can wait. */
const LONGEST_MS = 0x7fff_ffff;

interface Page {
  readonly port: Port;
  readonly join: Join;
  /** The tab that calls, handles private messages and hears of the connection. */
  readonly tab: number;
  /** The hub's tab of each stream. */
  readonly streams: Map<number, Seat>;
  /** Messages that it was sent, and the characters of those that it has not read, with their sum. */
  sent: number;
  readonly unread: number[];
  characters: number;
  silent: number;
  link: Link | undefined;
  /** It handles private messages. */
  inbox: boolean;
}

interface Seat {
  readonly page: Page;
  readonly stream: number;
  readonly tab: number;
  readonly channel: string;
}

/** What a host is made of besides its pages. */
export interface Parts {
  load: Load;
  mode: Mode;
  WebSocket?: WebSocketClass | undefined;
}

export class Host implements Shell {
  /** Tells hosts apart. */
  readonly id = Math.random().toString(36).slice(2);
  readonly #parts: Parts;
  readonly #pages = new Map<Port, Page>();
  readonly #seats = new Map<number, Seat>();
  readonly #tabs = new Map<number, Page>();
  /** Pages that were forgotten because they did not read, and what they have to read first. */
  readonly #stalled = new Map<Port, number>();
  /** What came before the hub was there. */
  #early: [Port, Up][] | undefined;
  #hub: Hub | undefined;
  #sockets: Sockets | undefined;
  #failed = '';
  #lastTab = 0;
  #now = 0;
  /** So much is our time ahead of a clock that was set back. */
  #ahead = 0;
  #token = '';
  #asked: Page[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tokenTimer: ReturnType<typeof setTimeout> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  readonly #pings: ReturnType<typeof setInterval>;
  #closeCode = BACK_SOON;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#pings = setInterval(() => this.#ping(), PING_MS);
    (this.#pings as { unref?: () => void }).unref?.();
  }

  /** A page found us. */
  hi(port: Port): void {
    port.post(['hi', this.id, false]);
  }

  /** A page says something. */
  receive(port: Port, message: Up): void {
    if (this.#failed) {
      if (message[0] === 'join') port.post(['fail', this.#failed]);
      return;
    }
    if (this.#hub) return this.#on(port, message);
    if (this.#early) {
      this.#early.push([port, message]);
    } else if (message[0] === 'join') {
      this.#early = [[port, message]];
      void this.#start(message[1]);
    }
  }

  /** A page is gone. */
  leave(port: Port, forGood = false): void {
    const page = this.#pages.get(port);
    if (!this.#stalled.delete(port) && !page) return;
    if (page) this.#retire(page, forGood);
    this.#tellTabs();
    if (this.#pages.size > 0) return;
    clearTimeout(this.#linger);
    const close = () => {
      this.#closeCode = forGood ? FOR_GOOD : BACK_SOON;
      this.#hub?.close(this.#time());
      this.#closeCode = BACK_SOON;
    };
    if (forGood) close();
    else this.#linger = setTimeout(close, LINGER_MS);
  }

  /** Ends the connection. Pages are not told: they find another host, or are gone. */
  shutdown(forGood: boolean): void {
    clearInterval(this.#pings);
    clearTimeout(this.#timer);
    clearTimeout(this.#tokenTimer);
    clearTimeout(this.#linger);
    this.#sockets?.close(forGood && this.#pages.size <= 1 ? FOR_GOOD : BACK_SOON);
    this.#failed = 'this host was shut down';
    this.#hub = undefined;
  }

  /** The network, says the browser. */
  network(isThere: boolean): void {
    if (isThere) this.#hub?.online(this.#time());
    else this.#hub?.offline(this.#time());
  }

  async #start(join: Join): Promise<void> {
    let hubClass: HubClass;
    try {
      hubClass = await this.#parts.load(join.wasm);
    } catch (error) {
      this.#failed ||= String(error);
      for (const [port, message] of this.#early ?? []) if (message[0] === 'join') port.post(['fail', this.#failed]);
      return;
    }
    if (this.#failed) return;
    const { urls, tenant, asks, timing, uuid } = join;
    const told = {
      opened: (socket: number) => this.#hub?.opened(this.#time(), socket),
      text: (socket: number, text: string) => this.#hub?.text(this.#time(), socket, text),
      closed: (socket: number, code: number, reason: string) => this.#hub?.closed(this.#time(), socket, code, reason),
    };
    this.#sockets = new Sockets(urls.map(base), `v=1&tenant=${tenant}`, told, this.#parts.WebSocket);
    this.#hub = new hubClass(this, { ...timing, urls: urls.length, asksForTokens: asks }, uuid);
    for (const [port, message] of this.#early ?? []) this.#on(port, message);
    this.#early = undefined;
  }

  #on(port: Port, message: Up): void {
    const hub = this.#hub!;
    const now = this.#time();
    if (message[0] === 'join') return this.#join(port, message[1]);
    if (message[0] === 'bye') return this.leave(port, message[1]);
    const page = this.#pages.get(port);
    if (!page) return this.#onForgotten(port, message);
    page.silent = 0;
    switch (message[0]) {
      case 'ack':
        for (const characters of page.unread.splice(0, message[1] - page.sent + page.unread.length)) page.characters -= characters;
        return;
      case 'subscribe': {
        const [, stream, channel, since] = message;
        this.#unseat(page, stream);
        const seat = { page, stream, channel, tab: ++this.#lastTab };
        page.streams.set(stream, seat);
        this.#seats.set(seat.tab, seat);
        return hub.subscribe(now, seat.tab, channel, ...crossing(since));
      }
      case 'unsubscribe':
        return this.#unseat(page, message[1]);
      case 'call':
        return this.#call(page, message[1], message[2], message[3]);
      case 'inbox':
        page.inbox = message[1];
        return message[1] ? hub.inboxOn(now, page.tab) : hub.inboxOff(now, page.tab);
      case 'handled':
        return hub.handled(now, page.tab, message[1]);
      case 'token':
        return this.#onToken(page, message[1]);
      case 'open':
        return hub.open(now);
      case 'online':
        return hub.online(now);
    }
  }

  /** A page that was forgotten, and is back once it has read all. */
  #onForgotten(port: Port, message: Up): void {
    const unread = this.#stalled.get(port);
    if (unread !== undefined && (message[0] !== 'ack' || message[1] < unread)) return;
    this.#stalled.set(port, Infinity);
    port.post(['hi', this.id, true]);
  }

  #join(port: Port, join: Join): void {
    const hub = this.#hub!;
    const old = this.#pages.get(port);
    if (old) this.#drop(old);
    this.#stalled.delete(port);
    clearTimeout(this.#linger);
    const page: Page = {
      port, join, tab: ++this.#lastTab, streams: new Map(), sent: 0, unread: [], characters: 0, silent: 0, link: undefined,
      inbox: false,
    };
    this.#pages.set(port, page);
    this.#tabs.set(page.tab, page);
    const { token, user, hash } = join;
    if (token && isNewer(token, this.#token)) hub.token(this.#time(), (this.#token = token));
    else if (!token && user && hash && hash !== this.#token) hub.hash(this.#time(), user, (this.#token = hash));
    hub.open(this.#time());
    hub.joined(this.#time(), page.tab);
    this.#tellTabs();
  }

  #call(page: Page, id: number, began: number, call: Call): void {
    const hub = this.#hub!;
    const now = this.#time();
    switch (call[0]) {
      case 'publish':
        if (now - began > REPEAT_MS) {
          return this.#post(page, ['refused', id, 'timeout', 'it is too late to send it again', 0]);
        }
        return hub.publish(now, page.tab, id, call[1], call[2], call[3], call[4]);
      case 'presence':
        return hub.presence(now, page.tab, id, call[1]);
      case 'presenceCount':
        return hub.presenceCount(now, page.tab, id, call[1]);
      case 'history':
        return hub.history(now, page.tab, id, call[1], ...crossing(call[2]), call[3] ?? 0);
      case 'userData':
        return hub.userData(now, page.tab, id, call[1]);
      case 'userStatus':
        return hub.userStatus(now, page.tab, id, call[1]);
    }
  }

  #unseat(page: Page, stream: number): void {
    const seat = page.streams.get(stream);
    if (!seat) return;
    page.streams.delete(stream);
    this.#seats.delete(seat.tab);
    this.#hub?.left(this.#time(), seat.tab);
  }

  /** A page that is left may be back at once: what it was subscribed to stays a while, so that nobody sees it go and come. */
  #retire(page: Page, forGood: boolean): void {
    if (forGood || page.silent > MOST_SILENT) return this.#drop(page);
    this.#pages.delete(page.port);
    if (this.#asked[0] === page) this.#askNext();
    const timer = setTimeout(() => this.#drop(page), GRACE_MS);
    (timer as { unref?: () => void }).unref?.();
  }

  #drop(page: Page): void {
    if (this.#pages.get(page.port) === page) this.#pages.delete(page.port);
    for (const stream of [...page.streams.keys()]) this.#unseat(page, stream);
    this.#tabs.delete(page.tab);
    this.#hub?.left(this.#time(), page.tab);
    if (this.#asked[0] === page) this.#askNext();
  }

  #post(page: Page | undefined, message: Down): void {
    if (!page || this.#pages.get(page.port) !== page) return;
    page.sent++;
    const characters = weight(message);
    page.unread.push(characters);
    page.characters += characters;
    page.port.post(message);
    if (page.unread.length > MOST_UNREAD || page.characters > MOST_UNREAD_CHARACTERS) {
      this.#pages.delete(page.port);
      // It answers this when it has read everything before it.
      page.port.post(['ping']);
      this.#stalled.set(page.port, page.sent + 1);
      // Not now: the hub may be calling us.
      queueMicrotask(() => this.#drop(page));
    }
  }

  #ping(): void {
    for (const page of [...this.#pages.values()]) {
      if (page.silent++ >= MOST_SILENT) this.leave(page.port);
      else this.#post(page, ['ping']);
    }
  }

  #tellTabs(): void {
    for (const page of this.#pages.values()) this.#tellLink(page, {});
  }

  #tellLink(page: Page, change: Partial<Link>): void {
    const { transport } = this.#sockets!;
    page.link = { status: 'connecting', ...page.link, ...change, mode: this.#parts.mode, transport, tabs: this.#pages.size };
    this.#post(page, ['state', page.link]);
  }

  /** Unix milliseconds that never go backwards: when the clock is set back, time goes on from where it was. */
  #time(): number {
    const clock = Date.now();
    this.#ahead = Math.max(this.#ahead, this.#now - clock);
    return (this.#now = clock + this.#ahead);
  }

  // Tokens: the page that joined last is asked first.

  askForToken(): void {
    this.#asked = [...this.#pages.values()].filter(({ join }) => join.asks).reverse();
    this.#askFirst();
  }

  #askNext(): void {
    this.#asked.shift();
    this.#askFirst();
  }

  #askFirst(): void {
    clearTimeout(this.#tokenTimer);
    const [page] = this.#asked;
    if (page) {
      this.#post(page, ['token']);
      this.#tokenTimer = setTimeout(() => this.#askNext(), TOKEN_MS);
    } else {
      queueMicrotask(() => this.#hub?.noToken(this.#time()));
    }
  }

  #onToken(page: Page, token: string | null | undefined): void {
    if (this.#asked[0] !== page) return;
    if (!token) return this.#askNext();
    clearTimeout(this.#tokenTimer);
    this.#asked = [];
    this.#hub!.token(this.#time(), (this.#token = token));
  }

  // What the hub wants.

  openSocket(socket: number, url: number): void {
    this.#sockets!.open(socket, url);
  }

  closeSocket(): void {
    this.#sockets!.close(this.#closeCode);
  }

  send(text: string): void {
    this.#sockets!.send(text);
  }

  setTimer(at: number): void {
    clearTimeout(this.#timer);
    if (at === Infinity) return;
    const wait = Math.min(Math.max(at - this.#time(), 0), LONGEST_MS);
    this.#timer = setTimeout(() => this.#hub?.time(this.#time()), wait);
  }

  state(tab: number, status: Status, at: number, code: string, message: string): void {
    const page = this.#tabs.get(tab);
    if (!page) return;
    // What a handler has failed at comes again with each connection.
    if (status === 'online' && page.link?.status !== status && page.inbox) {
      queueMicrotask(() => { if (this.#tabs.has(tab)) this.#hub?.inboxOn(this.#time(), tab); });
    }
    page.link = undefined;
    this.#tellLink(page, { status, ...(at && { retryAt: at }), ...(code && { why: [code, message] }) });
  }

  subscribed(tab: number, _channel: string, epoch: string, offset: number, recovered: boolean): void {
    this.#toSeat(tab, (stream) => ['subscribed', stream, position(epoch, offset), recovered]);
  }

  recovered(tab: number): void {
    this.#toSeat(tab, (stream) => ['recovered', stream]);
  }

  gap(tab: number, _channel: string, epoch: string, offset: number): void {
    this.#toSeat(tab, (stream) => ['gap', stream, position(epoch, offset)]);
  }

  unsubscribed(tab: number, _channel: string, code: string, message: string): void {
    this.#toSeat(tab, (stream) => ['unsubscribed', stream, code, message]);
  }

  publication(tab: number, _channel: string, epoch: string, offset: number, text: string): void {
    this.#toSeat(tab, (stream) => ['publication', stream, position(epoch, offset), text]);
  }

  presence(tab: number, _channel: string, text: string): void {
    this.#toSeat(tab, (stream) => ['presence', stream, text]);
  }

  message(tab: number, offset: number, text: string): void {
    this.#post(this.#tabs.get(tab), ['message', offset, text]);
  }

  answer(tab: number, call: number, text: string): void {
    this.#post(this.#tabs.get(tab), ['answer', call, text]);
  }

  refused(tab: number, call: number, code: string, message: string, retryAfter: number): void {
    this.#post(this.#tabs.get(tab), ['refused', call, code, message, retryAfter]);
  }

  error(tab: number, code: string, message: string): void {
    this.#post(this.#tabs.get(tab), ['error', code, message]);
  }

  #toSeat(tab: number, message: (stream: number) => Down): void {
    const seat = this.#seats.get(tab);
    if (seat) this.#post(seat.page, message(seat.stream));
  }
}

/** A node's address as `http://…/`, whatever was given. */
function base(given: string): string {
  const url = new URL(given);
  url.search = url.hash = '';
  return url.href.replace(/^ws/, 'http').replace(/\/?$/, '/');
}

// Positions as they cross the border to the hub.
const crossing = (position: Position | undefined): [string, number] => (position ? [position.epoch, position.offset] : ['', 0]);
const position = (epoch: string, offset: number): Position | undefined => (epoch ? { epoch, offset } : undefined);

/** Characters of a message that count as unread; the rest is small. */
function weight(message: Down): number {
  const last = message.at(-1);
  return typeof last === 'string' ? last.length : 0;
}

/** Of two tokens of one user, the one that ends later; of those that do not tell their end, the one that came last. */
function isNewer(token: string, than: string): boolean {
  return token !== than && (claims(token).exp ?? Infinity) >= (claims(than).exp ?? 0);
}

/** What a JWT says, unchecked. */
function claims(token: string): { sub?: unknown; exp?: number } {
  try {
    return JSON.parse(atob(token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/'))) as { exp?: number };
  } catch {
    return {};
  }
}
