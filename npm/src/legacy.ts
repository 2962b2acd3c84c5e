// The original's JavaScript API on top of the client: `cometql/legacy`. Pages that load a plain script take
// `cometql-legacy.iife.js`, which makes the same names global.

import { connect } from './index.js';
import { LegacyApi } from './legacy/api.js';
import { createSignals, type TabSignal } from './legacy/signals.js';
import type { StartOptions } from './legacy/types.js';

export type { LegacyApi } from './legacy/api.js';
export type { Slot, TabSignal } from './legacy/signals.js';
export type { Callback, LegacyMessage, ServerInfo, StartOptions } from './legacy/types.js';

const signals = createSignals('cometql tabSignal');

/** Signals within the page and between tabs. */
export const tabSignal: TabSignal = signals;
export const comet_server_signal = (): TabSignal => tabSignal;

/** The page's connection. */
export const cometApi = new LegacyApi(connect, signals);
/** Also with `new`. */
export function CometServer(): LegacyApi {
  return cometApi;
}

/** Connections of their own. */
export class cometServerApi extends LegacyApi {
  constructor(options?: StartOptions) {
    super(connect, createSignals(), options);
  }
}
