// Payloads as pages of the original gave and got them. There they were texts; here they may be JSON as well.

/** What a callback gets: JSON becomes its value, other text stays. */
export function decode(data: unknown): any {
  if (typeof data !== 'string') return data;
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}

/** What is published, so that `decode` and the original's clients make of it what was given. */
export function encode(message: unknown): unknown {
  if (typeof message === 'object' && message) return message;
  const text = JSON.stringify(message ?? null);
  // Words travel as they are. The original's clients take backslashes out of text that is no JSON.
  return typeof message === 'string' && decode(message) === message && !message.includes('\\') ? message : text;
}

/** `pipe.event` in two. */
export function split(name: string): [pipe: string, event: string] {
  const at = name.indexOf('.');
  return at < 0 ? [name, ''] : [name.slice(0, at), name.slice(at + 1)];
}

/** How long ids of messages and publications of this page are remembered, in milliseconds. */
const KEPT_MS = 180_000;
/** How long after its answer a publication may still come back. */
const LATE_MS = 10_000;

/** Ids that `multi_web_pipe_send` of the original put into messages which it repeats. */
export function createSeen() {
  const seen = new Map<string, number>();
  return (uuid: string | undefined): boolean => {
    if (!uuid) return false;
    const now = Date.now();
    for (const [old, at] of seen) {
      if (now - at < KEPT_MS) break;
      seen.delete(old);
    }
    const isKnown = seen.has(uuid);
    seen.set(uuid, seen.get(uuid) ?? now);
    return isKnown;
  };
}

/** What this page published on channels that it is subscribed to: the original did not send it back, CometQL does. */
export function createEchoes() {
  const awaited: { key: string; until: number }[] = [];
  const keyOf = (channel: string, event: string, user: number, data: unknown) =>
    JSON.stringify([channel, event, user, decode(data)]);
  return {
    /** Returns what is called with the answer. */
    await(channel: string, event: string, user: number, data: unknown): () => void {
      const echo = { key: keyOf(channel, event, user, data), until: Infinity };
      awaited.push(echo);
      return () => { echo.until = Date.now() + LATE_MS; };
    },
    /** Whether this is one of them. */
    take(channel: string, event: string, user: number, data: unknown): boolean {
      if (!awaited.length) return false;
      const now = Date.now();
      const key = keyOf(channel, event, user, data);
      const at = awaited.findIndex((echo) => echo.key === key && echo.until > now);
      if (at >= 0) awaited.splice(at, 1);
      while (awaited[0] && awaited[0].until <= now) awaited.shift();
      return at >= 0;
    },
  };
}
