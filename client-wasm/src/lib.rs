//! The browser's session as WebAssembly: [`Hub`] is `protocol::client::Session` for JavaScript.
//!
//! Decides nothing. Sockets, timers, tabs and tokens belong to the shell around it, which is written in TypeScript, so that
//! one hub serves a shared worker, a leading tab, a single page and Node, over a WebSocket or an event stream. Calls
//! cross with numbers and strings only; both sides of the border are declared in `INTERFACE` and in `Hub` itself.

pub mod frame;
/// Half the size of the standard library's, and as fast; there is one thread.
#[cfg(target_family = "wasm")]
#[global_allocator]
static MEMORY: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

mod hub;
mod number;
mod settings;
mod shell;

pub use hub::Hub;
pub use settings::Given;
pub use shell::Shell;

use wasm_bindgen::prelude::wasm_bindgen;

/// What the TypeScript shell gives to [`Hub`], as it stands in the declarations that are built with the module.
///
/// Times are unix milliseconds, offsets whole numbers below 2^53. A position is an epoch and an offset; the epoch `''`
/// stands for none (a channel without history, a tab that has no position).
#[wasm_bindgen(typescript_custom_section)]
pub const INTERFACE: &str = r"
/** What a hub may cause. Its methods must not throw, and must not call into the hub before they have returned. */
export interface Shell {
  /** Opens a socket to the url with this index; the older one has been closed. */
  openSocket(socket: number, url: number): void;
  /** Closes the socket, if it is not closed yet. What it says from now on does not count, and need not be told. */
  closeSocket(socket: number): void;
  /** Sends a text frame on the newest socket, which is open. */
  send(text: string): void;
  /** Wants `time` at that moment and no longer at an earlier one that it asked for; Infinity = never. */
  setTimer(at: number): void;
  /** Wants `token`, `hash` or `noToken`. */
  askForToken(): void;
  /** How the connection is. `at`: when the next attempt is, for 'offline'. `code` and `message`: why, for 'stopped'. */
  state(tab: number, state: ConnectionState, at: number, code: string, message: string): void;
  /** A subscription began. `recovered`: all that came after the given position follows. */
  subscribed(tab: number, channel: string, epoch: string, offset: number, recovered: boolean): void;
  /** A subscription went on after an interruption, and nothing is missing. */
  recovered(tab: number, channel: string): void;
  /** A subscription went on from here after an interruption, and something is lost. */
  gap(tab: number, channel: string, epoch: string, offset: number): void;
  /** A subscription was refused or ended. */
  unsubscribed(tab: number, channel: string, code: string, message: string): void;
  /** A publication: the push as it came, and the tab's position from now on. */
  publication(tab: number, channel: string, epoch: string, offset: number, text: string): void;
  /** Somebody joined or left: the push as it came. */
  presence(tab: number, channel: string, text: string): void;
  /** A private message: the push as it came. It counts as handled when the tab says so with `handled`. */
  message(tab: number, offset: number, text: string): void;
  /** The answer to a call: the reply as it came. */
  answer(tab: number, call: number, text: string): void;
  /** A call failed. `retryAfterMs`: when the same may succeed, if the server said so, else 0. */
  refused(tab: number, call: number, code: string, message: string, retryAfterMs: number): void;
  /** Something went wrong that no call waits for. */
  error(tab: number, code: string, message: string): void;
}

export type ConnectionState = 'connecting' | 'online' | 'offline' | 'stopped';

/** Times in milliseconds; what is missing has the default of `protocol::client::Settings`. */
export interface Settings {
  /** How many urls there are. */
  urls: number;
  /** `askForToken` may be called. */
  asksForTokens: boolean;
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
";
