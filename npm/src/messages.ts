// What pages and the host of the connection say to each other, whatever carries it: a message port, a broadcast channel or
// a queue within one page. Texts of the server pass through unread; the page that shows them parses them.

/** A place in a channel: one life of its history, and the offset in it. */
export interface Position {
  epoch: string;
  offset: number;
}

/** How often and how long, in milliseconds: `protocol::client::Settings`. */
export interface Timing {
  connectMs?: number;
  backoffMs?: number;
  backoffMostMs?: number;
  stableMs?: number;
  pingMs?: number;
  pongMs?: number;
  refreshMs?: number;
  publishMs?: number;
  questionMs?: number;
  queuedCalls?: number;
  queuedBytes?: number;
}

/** A page introduces itself; the first one says what the connection is made with. */
export interface Join {
  /** Bases of nodes, absolute. */
  urls: string[];
  tenant: number;
  /** Names this browser in presence lists. */
  uuid: string;
  token?: string | undefined;
  user?: number | undefined;
  hash?: string | undefined;
  /** The page can be asked for tokens. */
  asks: boolean;
  /** Where the WebAssembly module is. */
  wasm: string;
  timing: Timing;
}

/** What the page asks once; the host adds the moment and the tab. */
export type Call =
  | ['publish', channel: string, event: string, data: string, id: string]
  | ['presence', channel: string]
  | ['presenceCount', channel: string]
  | ['history', channel: string, since: Position | undefined, limit: number | undefined]
  | ['userData', user: number]
  | ['userStatus', user: number];

/** A page to the host. */
export type Up =
  | ['join', Join]
  /** `forGood`: the application closed it; else the page is left and may be back. */
  | ['bye', forGood: boolean]
  /** So many messages were read since `hi`. */
  | ['ack', messages: number]
  | ['subscribe', stream: number, channel: string, since: Position | undefined]
  | ['unsubscribe', stream: number]
  /** `began`: when the page asked first, unix milliseconds. */
  | ['call', call: number, began: number, Call]
  | ['inbox', on: boolean]
  | ['handled', offset: number]
  | ['token', token: string | null | undefined]
  /** Connect again after the connection was ended for good. */
  | ['open']
  /** The page is visible again: worth a look. */
  | ['online'];

export type Status = 'connecting' | 'online' | 'offline' | 'stopped';
/** Who holds the connection. */
export type Mode = 'worker' | 'leader' | 'page';
export type Transport = 'websocket' | 'sse';

/** How the connection is. */
export interface Link {
  status: Status;
  mode: Mode;
  transport: Transport;
  tabs: number;
  retryAt?: number;
  /** Why it was stopped: code and message. */
  why?: [code: string, message: string];
}

/** The host to a page. */
export type Down =
  /** Who the host is. `again`: what the page joined with is forgotten, it must join again. */
  | ['hi', host: string, again: boolean]
  /** There can be no connection from here. */
  | ['fail', message: string]
  | ['ping']
  | ['token']
  | ['state', Link]
  | ['subscribed', stream: number, Position | undefined, recovered: boolean]
  | ['recovered', stream: number]
  | ['gap', stream: number, Position | undefined]
  | ['unsubscribed', stream: number, code: string, message: string]
  | ['publication', stream: number, Position | undefined, text: string]
  | ['presence', stream: number, text: string]
  | ['message', offset: number, text: string]
  | ['answer', call: number, text: string]
  | ['refused', call: number, code: string, message: string, retryAfter: number]
  | ['error', code: string, message: string];
