// What pages of the original give and get. No code.

import type { Options } from '../types.js';

/** What `start` takes: the original's options, and those of `connect` that say how to get there. */
export interface StartOptions extends Pick<Options, 'getToken' | 'workerUrl' | 'wasmUrl' | 'mode' | 'timing' | 'WebSocket'> {
  /** The tenant. */
  dev_id?: number | string | undefined;
  user_id?: number | string | undefined;
  /** The hash in `users_auth`, or a JWT. */
  user_key?: string | undefined;
  /** `host` or `host:port`, or several of them. */
  node?: string | string[] | undefined;
  nodes?: string | string[] | undefined;
  nodeArray?: string | string[] | undefined;
  wss?: boolean | undefined;
  /** Names this browser in presence lists, at most 64 bytes. */
  uuid?: string | undefined;
  /** Without effect: one node is used at a time. */
  roundrobin?: boolean | undefined;
  /** Without effect: there are no statistics. */
  nostat?: boolean | undefined;
}

export interface ServerInfo {
  /** 0 for a backend and for somebody who is not logged in. */
  user_id: number;
  pipe: string;
  event: string;
  /** It comes from `get_pipe_log`. */
  history: boolean;
  marker?: string;
  uuid?: string;
}

/** What callbacks get. */
export interface LegacyMessage {
  data: any;
  server_info: ServerInfo;
}

export type Callback = (message: LegacyMessage) => unknown;
