// `CometServer()` of the original on top of the client: pages that were written for it change their script and nothing else.
// Written from a description of what pages call and get; nothing of the original's script is in it.

import { CometError, type ErrorCode } from '../errors.js';
import type { Client, Options, Publication, Subscription } from '../types.js';
import { createEchoes, createSeen, decode, encode, split } from './payload.js';
import { createSignals, randomName, store, stored, type TabSignal } from './signals.js';
import type { Callback, LegacyMessage, ServerInfo, StartOptions } from './types.js';

/** The signal of every message. */
const ALL = 'comet_server_msg';
const YES = '__comet_onAuthSuccess';
const NO = '__comet_onAuthFalill';
/** What browsers may publish on; a leading `@` hides the sender. */
const PUBLISHED = /^@?web(auth)?_/;
const MOST_TENANTS = 100_000;
/** Most entries that `get_pipe_log` gave. */
const LOG_ENTRIES = 99;
/** After `KILL` the original came back, too. */
const KILLED_MS = 1_000;
/** The log-in is over; the page goes on as nobody. */
const LOGGED_OUT: ErrorCode[] = ['unauthorized', 'revoked', 'token_expired', 'bad_request', 'login_required'];

type Connect = (options: Options) => Client;
type Signals = ReturnType<typeof createSignals>;

export class LegacyApi {
  readonly #connect: Connect;
  readonly #signals: Signals;
  readonly #seen = createSeen();
  readonly #echoes = createEchoes();
  /** Callbacks by pipe; a pipe is subscribed to while it has one. */
  readonly #wanted = new Map<string, Set<string>>();
  readonly #subscriptions = new Map<string, Subscription | (() => void)>();
  /** Calls until it is known who we are. */
  #early: ((client: Client) => void)[] = [];
  #options: StartOptions = {};
  #client: Client | undefined;
  #asNobody = false;
  #isKnown = false;
  #authorized: boolean | undefined;
  #wss: boolean | undefined;
  #uuid = '';

  constructor(connect: Connect, signals: Signals, options?: StartOptions) {
    this.#connect = connect;
    this.#signals = signals;
    if (options) this.start(options);
  }

  // The connection.

  start(options: StartOptions = {}, callback?: () => unknown): boolean {
    Object.assign(this.#options, options);
    if (callback) this.#early.push(() => callback());
    if (!this.#client) this.#open(false);
    return true;
  }

  /** Connects again, as another user, say. What is not given stays as it was. */
  restart(options: StartOptions = {}, callback?: () => unknown): boolean {
    this.stop();
    return this.start(options, callback);
  }

  stop(): boolean {
    this.#close();
    this.#authorized = undefined;
    return true;
  }

  isConnected(): boolean {
    return this.#client?.state.status === 'online';
  }

  isAuthorized(): boolean | undefined {
    return this.#authorized;
  }

  onAuthSuccess(callback: () => unknown): void {
    this.#signals.add(YES, () => callback());
  }

  onAuthFalill(callback: () => unknown): void {
    this.#signals.add(NO, () => callback());
  }

  #open(asNobody: boolean): void {
    const { user_key: key, getToken, user_id, workerUrl, wasmUrl, mode, timing, WebSocket } = this.#options;
    const user = wholeNumber(user_id);
    const isToken = key?.split('.').length === 3;
    const isSomebody = !asNobody && !!(getToken || (key && (isToken || user)));
    const options: Record<string, unknown> = {
      urls: this.#nodes().map((node) => this.#base(node)),
      tenant: this.#tenant(),
      uuid: this.getUUID(),
      workerUrl, wasmUrl, mode, timing, WebSocket,
      ...(isSomebody && { getToken, ...(user && { user }), ...(isToken ? { token: key } : { hash: key }) }),
    };
    for (const name in options) if (options[name] === undefined) delete options[name];
    const client = this.#connect(options as Options);
    this.#client = client;
    this.#asNobody = asNobody;
    this.#isKnown = false;
    client.on('state', ({ status, error }) => {
      if (client !== this.#client) return;
      if (status === 'online') this.#onOnline(client, isSomebody);
      else if (status === 'stopped' && error) this.#onStopped(client, error);
    });
    client.on('error', (error) => this.#tellError(error));
    for (const pipe of this.#wanted.keys()) this.#subscribe(pipe);
  }

  #onOnline(client: Client, isSomebody: boolean): void {
    if (isSomebody !== this.#authorized) {
      this.#authorized = isSomebody;
      this.#signals.emit(isSomebody ? YES : NO, isSomebody);
    }
    if (this.#isKnown) return;
    this.#isKnown = true;
    this.#early.splice(0).forEach((call) => call(client));
  }

  #onStopped(client: Client, error: CometError): void {
    if (!this.#asNobody && LOGGED_OUT.includes(error.code)) {
      this.#close();
      this.#open(true);
    } else if (error.code === 'killed') {
      setTimeout(() => client === this.#client && client.reconnect(), KILLED_MS);
    } else if (error.code !== 'closed') {
      this.#tellError(error);
    }
  }

  #close(): void {
    const client = this.#client;
    this.#client = undefined;
    this.#subscriptions.clear();
    client?.close();
  }

  #nodes(): string[] {
    const { nodeArray, nodes, node } = this.#options;
    const given = [nodeArray ?? nodes ?? node ?? []].flat().filter(Boolean);
    return given.length ? given : [globalThis.location?.host ?? 'localhost'];
  }

  #base(node: string): string {
    return `${this.isUseWss() ? 'https' : 'http'}://${node}/`;
  }

  #tenant(): number {
    const tenant = Number.parseInt(String(this.#options.dev_id ?? 0), 10);
    return tenant > 0 && tenant <= MOST_TENANTS ? tenant : 0;
  }

  // Messages.

  /**
   * Calls a function with the messages of `pipe`, `pipe.event`, `msg` (private ones), `#pipe` (what came of own publications), or of
   * all of them (`''` or the function alone). Several names are separated by line feeds. Returns what `unsubscription` takes.
   */
  subscription(name: string | Callback, callback?: Callback): string | null {
    if (typeof name === 'function') return this.subscription('', name);
    const names = name.split('\n');
    if (names.length > 1) {
      names.forEach((one) => one && this.subscription(one, callback));
      return null;
    }
    const signal = name === '' ? ALL : name.replace(/^#/, '_answer_to_');
    if (!/^[A-Za-z0-9_.-]+$/.test(signal)) console.error(`"${name}" is no name of a pipe`);
    const id = `${signal}&&${this.#signals.add(signal, (message) => callback?.(message))}`;
    const pipe = signal === ALL ? 'msg' : split(signal)[0];
    if (!this.#wanted.has(pipe)) this.#wanted.set(pipe, new Set());
    this.#wanted.get(pipe)!.add(id);
    this.#subscribe(pipe);
    return id;
  }

  /** The same for one message. */
  subscription_once(name: string, callback: Callback): string | null {
    const id = this.subscription(name, (message) => {
      if (id) this.unsubscription(id);
      return callback(message);
    });
    return id;
  }

  unsubscription(id: string): boolean {
    const [signal, slot] = String(id).split('&&') as [string, string?];
    if (slot === undefined || !this.#signals.disconnect(slot, signal)) return false;
    const pipe = signal === ALL ? 'msg' : split(signal)[0];
    const ids = this.#wanted.get(pipe);
    if (!ids?.delete(id) || ids.size) return true;
    this.#wanted.delete(pipe);
    const subscription = this.#subscriptions.get(pipe);
    this.#subscriptions.delete(pipe);
    if (typeof subscription === 'function') subscription();
    else subscription?.unsubscribe();
    return true;
  }

  unsubscriptionAll(): true {
    for (const ids of [...this.#wanted.values()]) for (const id of [...ids]) this.unsubscription(id);
    return true;
  }

  #subscribe(pipe: string): void {
    const client = this.#client;
    if (!client || this.#subscriptions.has(pipe) || /^(_|sys$|comet_)/.test(pipe)) return;
    if (pipe === 'msg') {
      const end = client.inbox(({ event, data }) => this.#tell('msg', event, data));
      this.#subscriptions.set(pipe, end);
      return;
    }
    const subscription = client.subscribe(pipe, (publication: Publication) => {
      const { event, data, user = 0 } = publication;
      if (!this.#echoes.take(pipe, event, user, data)) this.#tell(pipe, event, data, { user_id: user });
    }, {
      presence: ({ type, member: { user = 0, uuid } }) =>
        this.#tell(pipe, type === 'join' ? 'subscription' : 'unsubscription', { user_id: user, uuid }),
    });
    this.#subscriptions.set(pipe, subscription);
  }

  /** Gives a message to all who want it. */
  #tell(pipe: string, event: string, data: unknown, more: Partial<ServerInfo> = {}): void {
    const message = messageOf(pipe, event, data, more);
    if (this.#seen(message.server_info.uuid)) return;
    this.#signals.emit(pipe, message);
    if (event) this.#signals.emit(`${pipe}.${event}`, message);
    this.#signals.emit(ALL, message);
  }

  #tellError(error: unknown): void {
    console.error(error);
    this.#tell('sys', 'error', { number_messages: -1, error: error instanceof Error ? error.message : String(error) });
  }

  // What is asked.

  /** Publishes on a pipe whose name begins with `web_` or `webauth_`; what came of it is told as `#pipe`. */
  web_pipe_send(pipe: string, event: unknown, message?: unknown): boolean {
    if (arguments.length < 3) {
      message = event;
      [pipe, event] = split(pipe);
    }
    if (!PUBLISHED.test(pipe)) {
      console.error(`"${pipe}": only pipes that begin with web_ or webauth_ can be written to`);
      return false;
    }
    const [name, label, data] = [pipe.replace('@', ''), String(event ?? ''), encode(message)];
    this.#ask(async (client) => {
      const user = this.#authorized && name === pipe ? (this.getUserId() ?? 0) : 0;
      const answered = this.#subscriptions.has(name) ? this.#echoes.await(name, label, user, data) : undefined;
      try {
        const { reached } = await client.publish(pipe, data, { event: label });
        const report = { message: JSON.stringify(message ?? null), number_messages: reached };
        this.#tell(`_answer_to_${name}`, 'answer', report);
      } finally {
        answered?.();
      }
    });
    return true;
  }

  /** The original repeated it; the client repeats what got no answer, and the server sends it once. */
  multi_web_pipe_send(pipe: string, event: string, message: object): boolean {
    return this.web_pipe_send(pipe, event, { ...message, _cometApi_uuid: randomName(10) });
  }

  /** Gives the kept messages of a pipe to its callbacks, and to this one. */
  get_pipe_log(pipe: string, callback?: Callback): true {
    this.#ask(async (client) => {
      const { publications } = await client.history(pipe, { limit: LOG_ENTRIES });
      for (const { event = '', data, user = 0 } of publications) {
        const more = { user_id: user, history: true };
        this.#tell(pipe, event, data, more);
        if (callback) run(callback, messageOf(pipe, event, data, more));
      }
    });
    return true;
  }

  count_users_in_pipe(pipe: string, callback: Callback): true {
    this.#ask(async (client) => {
      const count = await client.presenceCount(pipe);
      this.#answer(callback, '_answer_pipe_count', 'user_in_pipe', { user_in_pipe: count });
    });
    return true;
  }

  getTrackPipeUsers(pipe: string, callback: Callback): true {
    this.#ask(async (client) => {
      const members = await client.presence(pipe);
      this.#answer(callback, '_answer', 'answer', members.map(({ user = 0, uuid }) => ({ user_id: user, uuid })));
    });
    return true;
  }

  getUserData(user: number | string, callback: Callback): true {
    this.#ask(async (client) => {
      const data = await client.userData(Number(user));
      this.#answer(callback, '_answer', 'answer', { user_data: data ?? '', user_id: Number(user) });
    });
    return true;
  }

  #answer(callback: Callback, pipe: string, event: string, data: unknown): void {
    const marker = String(Math.random()).slice(2, 12);
    run(callback, messageOf(pipe, event, data, { marker }));
  }

  #ask(question: (client: Client) => Promise<void>): void {
    const ask = (client: Client) => {
      question(client).catch((error: CometError) => {
        if (error.code !== 'closed') this.#tellError(error);
      });
    };
    if (this.#client && this.#isKnown) ask(this.#client);
    else this.#early.push(ask);
  }

  // Who and where we are.

  /** Names this browser. */
  getUUID(): string {
    if (this.#options.uuid) return this.#options.uuid;
    this.#uuid ||= stored('comet_server_uuid') ?? randomName(32);
    store('comet_server_uuid', this.#uuid);
    return this.#uuid;
  }

  getTabUUID = (): string => this.#signals.getTabUUID();
  getUserId = (): number | undefined => wholeNumber(this.#options.user_id);
  getUserKey = (): string | undefined => this.#options.user_key;
  getDevId = (): string => String(this.#options.dev_id ?? 0);
  /** The key while it counts. */
  getRealUserKey = (): string => (this.#authorized && this.#options.user_key) || '';
  /** Always true: whose the connection is makes no difference to a tab. */
  isMaster = (): true => true;
  /** Always by WebSocket where that is possible. */
  UseWebSocket = (): true => true;
  UseWss(use: boolean): boolean {
    return (this.#wss = use);
  }
  /** A page that came encrypted may use nothing else. */
  isUseWss(): boolean {
    return globalThis.location?.protocol === 'https:' || (this.#wss ?? this.#options.wss ?? false);
  }
  /** Where a node is reached. */
  getUrl(node: string): string {
    return `${this.#base(node).replace('http', 'ws')}connect?v=1&tenant=${this.#tenant()}`;
  }
  setLogLevel = (level: number): void => store('comet_LogLevel', String(level));
  getLogLevel = (): number => Number(stored('comet_LogLevel') ?? 0);
  /** There are no statistics. */
  sendStatistics(): void {}
}

export type { TabSignal };

function messageOf(pipe: string, event: string, text: unknown, more: Partial<ServerInfo>): LegacyMessage {
  const data = decode(text);
  const uuid = data?._cometApi_uuid;
  return { data, server_info: { user_id: 0, pipe, event, history: false, ...(uuid && { uuid }), ...more } };
}

function run(callback: Callback, message: LegacyMessage): void {
  try {
    callback(message);
  } catch (error) {
    console.error(error);
  }
}

function wholeNumber(given: unknown): number | undefined {
  const number = Number(given);
  return Number.isSafeInteger(number) && number > 0 ? number : undefined;
}
