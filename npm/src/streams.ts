// Subscriptions and their positions. The host knows each one as a stream with a number, and is told all of them whenever it
// is a new one.

import { closedError, errorOf } from './errors.js';
import type { EventSource } from './events.js';
import type { Position, Up } from './messages.js';
import type { Handler, Publication, Started, SubscribeOptions, Subscription } from './types.js';

/** Publications that may wait for a loop; the stream pauses above it, and goes on from its position when they are read. */
const MOST_WAITING = 1000;

interface Stream {
  id: number;
  channel: string;
  options: SubscribeOptions;
  position: Position | undefined;
  begun?: boolean;
  begin(started: Started): void;
  take(publication: Publication<never>): void;
  end(error?: unknown): void;
}

export function createStreams(send: (message: Up) => void, { emit, report, run }: EventSource) {
  const streams = new Map<number, Stream>();
  let last = 0;

  const ask = ({ id, channel, position }: Stream) => send(['subscribe', id, channel, position]);
  const resume = (stream: Stream) => {
    streams.set((stream.id = ++last), stream);
    ask(stream);
  };
  /** What still comes is not wanted: it comes again when the stream is resumed from its position. */
  const pause = ({ id }: Stream) => {
    if (streams.delete(id)) send(['unsubscribe', id]);
  };

  const subscribe = <T>(
    channel: string,
    first?: Handler<T> | SubscribeOptions,
    second: SubscribeOptions = {},
  ): Subscription<T> => {
    const handler = typeof first === 'function' ? first : undefined;
    const options = handler ? second : ((first as SubscribeOptions) ?? {});
    const { event, signal, since } = options;
    signal?.throwIfAborted();
    const waiting: Publication<T>[] = [];
    let wake = () => {};
    /** Why it ended; a list that may hold nothing. */
    let ended: unknown[] | undefined;
    let refuse!: (error: unknown) => void;
    const stream = {
      channel,
      options,
      position: since,
      take(publication: Publication<T>) {
        if ((event ?? publication.event) !== publication.event) return;
        if (handler) return void run(handler, publication);
        if (waiting.push(publication) >= MOST_WAITING) pause(stream);
        wake();
      },
      end(...error: unknown[]) {
        if (ended) return;
        ended = error;
        signal?.removeEventListener('abort', abort);
        refuse(error[0] ?? closedError());
        wake();
        pause(stream);
      },
    } as Stream;
    const ready = new Promise<Started>((resolve, reject) => {
      stream.begin = resolve;
      refuse = reject;
    });
    // Whoever does not wait for it is told by the event `error`.
    ready.catch(() => {});
    const abort = () => stream.end(signal!.reason);
    signal?.addEventListener('abort', abort);
    resume(stream);
    return {
      channel,
      ready,
      get position() {
        return stream.position;
      },
      unsubscribe: () => stream.end(),
      async *[Symbol.asyncIterator]() {
        try {
          for (;;) {
            const next = waiting.shift();
            if (next) {
              if (!waiting.length && !ended && !streams.has(stream.id)) resume(stream);
              yield next;
            } else if (ended) {
              if (ended.length) throw ended[0];
              return;
            } else {
              await new Promise<void>((woken) => { wake = woken; });
            }
          }
        } finally {
          stream.end();
        }
      },
    };
  };

  /** It begins or goes on, where it was or elsewhere. */
  const go = (stream: Stream, at: Position | undefined, recovered: boolean) => {
    const { channel, position, begun } = stream;
    if (!recovered) stream.position = at;
    const started = { channel, position: stream.position, recovered };
    stream.begin(started);
    stream.begun = true;
    // What begins to this host may go on to the application.
    if (begun || position) emit(recovered ? 'recovered' : 'gap', started);
  };
  const about: { [what: string]: (stream: Stream, first: never, second: never) => unknown } = {
    subscribed: go,
    recovered: (stream) => go(stream, undefined, true),
    gap: (stream, at) => go(stream, at, false),
    unsubscribed(stream, code, text) {
      const error = errorOf(code, text, stream.channel);
      stream.end(error);
      report(error);
    },
    publication(stream, at: Position | undefined, text) {
      const { position } = stream;
      if (at && at.epoch === position?.epoch && at.offset <= position.offset) return;
      stream.position = at;
      stream.take({ event: '', ...JSON.parse(text), position: at });
    },
    presence({ channel, options: { presence } }, text) {
      const { push: type, member } = JSON.parse(text);
      return presence && run(presence, { type, channel, member });
    },
  };
  /** The host says something about a stream. */
  const hear = (what: string, id: number, first: unknown, second: unknown) => {
    const stream = streams.get(id);
    if (stream) about[what]?.(stream, first as never, second as never);
  };

  return {
    subscribe,
    hear,
    /** To a host that knows none of them. */
    tellAll: () => streams.forEach(ask),
    close: () => streams.forEach((stream) => stream.end()),
  };
}
