// The border to the WebAssembly module: what it calls and what it offers. `client-wasm/src/lib.rs` declares the same.

import type { Status, Timing } from './messages.js';

/** What a hub may cause. Nothing of it may call into the hub before it has returned. */
export interface Shell {
  openSocket(socket: number, url: number): void;
  closeSocket(socket: number): void;
  send(text: string): void;
  setTimer(at: number): void;
  askForToken(): void;
  state(tab: number, state: Status, at: number, code: string, message: string): void;
  subscribed(tab: number, channel: string, epoch: string, offset: number, recovered: boolean): void;
  recovered(tab: number, channel: string): void;
  gap(tab: number, channel: string, epoch: string, offset: number): void;
  unsubscribed(tab: number, channel: string, code: string, message: string): void;
  publication(tab: number, channel: string, epoch: string, offset: number, text: string): void;
  presence(tab: number, channel: string, text: string): void;
  message(tab: number, offset: number, text: string): void;
  answer(tab: number, call: number, text: string): void;
  refused(tab: number, call: number, code: string, message: string, retryAfterMs: number): void;
  error(tab: number, code: string, message: string): void;
}

/** All that can happen to a connection and its tabs. */
export interface Hub {
  open(now: number): void;
  close(now: number): void;
  online(now: number): void;
  offline(now: number): void;
  time(now: number): void;
  opened(now: number, socket: number): void;
  text(now: number, socket: number, text: string): void;
  closed(now: number, socket: number, code: number, reason: string): void;
  token(now: number, token: string): void;
  hash(now: number, user: number, hash: string): void;
  noToken(now: number): void;
  joined(now: number, tab: number): void;
  left(now: number, tab: number): void;
  subscribe(now: number, tab: number, channel: string, epoch: string, offset: number): void;
  unsubscribe(now: number, tab: number, channel: string): void;
  publish(now: number, tab: number, call: number, channel: string, event: string, data: string, id: string): void;
  presence(now: number, tab: number, call: number, channel: string): void;
  presenceCount(now: number, tab: number, call: number, channel: string): void;
  history(now: number, tab: number, call: number, channel: string, epoch: string, offset: number, limit: number): void;
  userData(now: number, tab: number, call: number, user: number): void;
  userStatus(now: number, tab: number, call: number, user: number): void;
  inboxOn(now: number, tab: number): void;
  inboxOff(now: number, tab: number): void;
  handled(now: number, tab: number, offset: number): void;
}

export interface Settings extends Timing {
  urls: number;
  asksForTokens: boolean;
}

export type HubClass = new (shell: Shell, settings: Settings, uuid: string) => Hub;

/** Loads the module from an address, or takes its bytes. */
export type Load = (wasm: string) => Promise<HubClass>;
