// Codes of errors, as types: nothing of this file is in the package's code. A test compares them with the documentation.

/** What the server refuses with: docs-site/reference/errors.md. */
export const SERVER_CODES = [
  'bad_request', 'unauthorized', 'permission_denied', 'bad_name', 'too_large', 'too_many_subscriptions', 'rate_limited',
  'already_subscribed', 'not_subscribed', 'login_required', 'inbox_full', 'conflict', 'unavailable', 'internal',
] as const;

/** Why the server ended the connection for good: words of its close codes. */
export const CLOSE_CODES = [
  'normal', 'protocol_error', 'unsupported_data', 'invalid_utf8', 'too_big', 'bad_protocol', 'token_expired', 'revoked', 'killed',
] as const;

/** What the client itself says: docs-site/reference/browser-client.md. */
export const CLIENT_CODES = ['timeout', 'queue_full', 'closed', 'start_failed', 'token_failed', 'handler_failed'] as const;
