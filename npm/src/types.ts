// What applications see and give. No code.

import type { CometError } from './errors.js';
import type { Mode, Position, Status, Timing, Transport } from './messages.js';

/** One message in a channel. */
export interface Publication<T = unknown> {
  channel: string;
  /** The label that it was sent with, '' for none. */
  event: string;
  data: T;
  /** The user whose browser sent it, unless hidden or a backend's. */
  user?: number;
  /** Unix milliseconds; missing in channels without history. */
  time?: number;
  /** Where the channel is after it; missing in channels without history. Give it as `since` to go on from here. */
  position?: Position | undefined;
}

/** What is done with publications. What it throws, or its promise is rejected with, is told by the event `error`. */
export type Handler<T = unknown> = (publication: Publication<T>) => unknown;

/** A private message. */
export interface Message<T = unknown> {
  event: string;
  data: T;
  offset: number;
  time: number;
}

/** One connection that is subscribed to a channel. */
export interface Member {
  /** Missing for an anonymous one. */
  user?: number;
  uuid: string;
}

/** Somebody joined or left. */
export interface PresenceChange {
  type: 'join' | 'leave';
  channel: string;
  member: Member;
}

/** How the connection is. */
export interface State {
  status: Status;
  /** Who holds it: a worker for all tabs, one of the tabs for all, or each page its own. */
  mode: Mode;
  /** What carries it, or would. */
  transport: Transport;
  /** Pages that share it. */
  tabs: number;
  /** When the next attempt is, unix milliseconds. */
  retryAt?: number;
  /** Why it was stopped. */
  error?: CometError;
}



/** How to connect. */
export interface Options {
  /** Base of the server's browser port: `https://…`, `wss://…` or relative to the page, whose own origin is the default. */
  url?: string | URL;
  /** Several nodes instead of one. */
  urls?: (string | URL)[];
  tenant?: number;
  /** A JWT. */
  token?: string;
  /** Called for a token at the start and whenever a newer one is needed; nothing = an anonymous session. */
  getToken?: () => string | null | undefined | Promise<string | null | undefined>;
  /** The user id that belongs to `hash`; with `getToken` it saves the first call. */
  user?: number;
  /** What a backend put into `users_auth`. */
  hash?: string;
  /** Names this browser in presence lists; kept in localStorage unless given. */
  uuid?: string;
  /** Where `worker.js` is; of this page's origin. */
  workerUrl?: string | URL;
  /** Where `cometql.wasm` is. */
  wasmUrl?: string | URL;
  /** The first way to try; the ones after it are tried by themselves. */
  mode?: Mode;
  timing?: Timing;
  /** For programs outside of browsers that have none of their own: `ws` fits. */
  WebSocket?: unknown;
}

/** Where a subscription began, or goes on after an interruption. */
export interface Started {
  channel: string;
  /** Missing in channels without history. */
  position?: Position | undefined;
  /** All that came after `since` follows. */
  recovered: boolean;
}

export interface SubscribeOptions {
  /** All since this position; as it came with a publication. */
  since?: Position;
  /** Only publications with this event. */
  event?: string;
  /** Ends the subscription. */
  signal?: AbortSignal;
  /** Is told who joins and leaves, in channels that tell it. */
  presence?: (change: PresenceChange) => unknown;
}

export interface PublishOptions {
  event?: string;
  /** Stops waiting; what was sent stays sent. */
  signal?: AbortSignal | undefined;
}

export interface CallOptions {
  /** Stops waiting. */
  signal?: AbortSignal | undefined;
}

export interface HistoryOptions extends CallOptions {
  /** At most so many, the newest. */
  limit?: number;
  /** Only those after this position. */
  since?: Position;
}

/** What came of a publication. */
export interface Published {
  /** Connections of the node that it was sent to. */
  reached: number;
  /** Missing in channels without history. */
  offset?: number;
}

/** Kept publications, oldest first, and where the channel is. */
export interface History<T = unknown> {
  publications: { event?: string; data: T; user?: number; time: number; offset: number; previous: number }[];
  /** Missing in channels without history. */
  epoch?: string;
  offset?: number;
}

export interface UserStatus {
  user: number;
  online: boolean;
  /** Unix seconds; missing for a user who is online or was never seen. */
  last_seen?: number;
}

/** An interest in a channel. Without a handler it is read with `for await`. */
export interface Subscription<T = unknown> extends AsyncIterable<Publication<T>> {
  readonly channel: string;
  /** Where it began; rejected when the server refuses it. */
  readonly ready: Promise<Started>;
  /** What a later subscription goes on from: undefined before it began, and in channels without history. */
  readonly position: Position | undefined;
  unsubscribe(): void;
}

/** A page's connection; `connect` makes one. */
export interface Client {
  /** How the connection is. */
  readonly state: State;
  /** Subscribes to a channel. */
  subscribe<T = unknown>(channel: string, handler: Handler<T>, options?: SubscribeOptions): Subscription<T>;
  /** The same, to be read with `for await`. */
  subscribe<T = unknown>(channel: string, options?: SubscribeOptions): Subscription<T>;
  /** Publishes any JSON value, where the channel allows it. A leading `@` of the channel hides the sender. */
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<Published>;
  /** Who is subscribed to a channel: one member for each connection. */
  presence(channel: string, options?: CallOptions): Promise<Member[]>;
  /** How many connections are subscribed to a channel. */
  presenceCount(channel: string, options?: CallOptions): Promise<number>;
  /** Kept publications of a channel. */
  history<T = unknown>(channel: string, options?: HistoryOptions): Promise<History<T>>;
  /** What a backend stored for a user; null for nothing. */
  userData(user: number, options?: CallOptions): Promise<string | null>;
  /** Whether a user is online. */
  userStatus(user: number, options?: CallOptions): Promise<UserStatus>;
  /**
   * Handles private messages. One counts as received when every handler of a page has returned, or what it returned has
   * resolved; else it comes again with the next connection. Returns what ends it.
   */
  inbox<T = unknown>(handler: (message: Message<T>) => unknown): () => void;
  /** Hears of the connection and of subscriptions. Returns what ends it. */
  on<Type extends keyof Events>(type: Type, handler: (event: Events[Type]) => unknown): () => void;
  /** Connects again after the server ended the connection for good. */
  reconnect(): void;
  /** Ends everything of this page. Other tabs go on. */
  close(): void;
}

/** What `on` tells. */
export interface Events {
  state: State;
  error: CometError;
  /** A subscription went on after an interruption, and nothing is missing. */
  recovered: Started;
  /** A subscription went on after an interruption, and something is lost: load the state anew. */
  gap: Started;
}
