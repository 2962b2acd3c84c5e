// The classes of errors. A program may depend on a code; messages are for people.

import type { CLIENT_CODES, CLOSE_CODES, SERVER_CODES } from './codes.js';

export type ErrorCode = (typeof SERVER_CODES | typeof CLOSE_CODES | typeof CLIENT_CODES)[number];

/** All errors of this package; of this class itself when a function of the application failed. */
export class CometError extends Error {
  override name = 'CometError';
  constructor(
    /** Stable. */
    readonly code: ErrorCode,
    message: string,
    /** What it concerns, if one. */
    readonly channel?: string,
    /** What a function of the application threw. */
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

/** The server said no. */
export class RefusedError extends CometError {
  override name = 'RefusedError';
  /** After how many milliseconds the same may succeed, if the server said so. */
  declare retryAfter?: number;
}

/** There was no answer, or there can be no connection. */
export class ConnectionError extends CometError {
  override name = 'ConnectionError';
}

/** The error for a code that came from the host: the session's own, or the server's. */
export const errorOf = (code: string, message: string, channel?: string): CometError =>
  new (/^(timeout|queue_full|closed|start_failed)$/.test(code) ? ConnectionError : RefusedError)(code as ErrorCode, message, channel);

export const closedError = (): CometError => errorOf('closed', 'client closed');
