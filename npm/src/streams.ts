// Subscriptions and their positions. Handlers without a position of their own share one stream for each channel; everything
// else has a stream of its own. The host knows streams by number, and is told all of them whenever it is a new one.

import { closedError, errorOf } from './errors.js';
import type { EventSource } from './events.js';
import type { Down, Position, Up } from './messages.js';
import type { Handler, Publication, Started, SubscribeOptions, Subscription } from './types.js';

/** Publications that may wait for a loop; the stream pauses above it, and goes on from its position when they are read. */
const MOST_WAITING = 1000;

interface Stream {
  id: number;
  channel: string;
  position: Position | undefined;
  begun?: boolean;
  readers: Set<Reader>;
}

/** What a stream does with a subscription. */
interface Reader {
  options: SubscribeOptions;
  begin(started: Started): void;
  take(publication: Publication<never>): void;
  end(error?: unknown): void;
}

export function createStreams(send: (message: Up) => void, { emit, report, run }: EventSource) {
  const streams = new Map<number, Stream>();
  const shared = new Map<string, Stream>();
  let last = 0;

  const ask = ({ id, channel, position }: Stream) =>
    send(['subscribe', id, channel, position?.epoch ?? '', position?.offset ?? 0]);
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
    let stream = handler && !since ? shared.get(channel) : undefined;
    if (!stream) {
      stream = { id: 0, channel, position: since, readers: new Set() };
      if (handler && !since) shared.set(channel, stream);
      resume(stream);
    }
    const { readers } = stream;
    const waiting: Publication<T>[] = [];
    let wake = () => {};
    let ended = false;
    let why: unknown;
    let begin!: Reader['begin'];
    let refuse!: (error: unknown) => void;
    const ready = new Promise<Started>((resolve, reject) => {
      begin = resolve;
      refuse = reject;
    });
    // Whoever does not wait for it is told by the event `error`.
    ready.catch(() => {});
    const end = (error?: unknown) => {
      if (ended) return;
      ended = true;
      why = error;
      signal?.removeEventListener('abort', abort);
      refuse(error ?? closedError());
      wake();
      readers.delete(reader);
      if (readers.size) return;
      pause(stream);
      if (shared.get(channel) === stream) shared.delete(channel);
    };
    const abort = () => end(signal!.reason);
    signal?.addEventListener('abort', abort);
    const reader: Reader = {
      options,
      begin,
      end,
      take(publication) {
        if (event !== undefined && event !== publication.event) return;
        if (handler) return void run(handler, publication);
        if (waiting.push(publication) >= MOST_WAITING) pause(stream);
        wake();
      },
    };
    readers.add(reader);
    if (stream.begun) begin(started(stream.position, false));
    return {
      channel,
      ready,
      get position() {
        return stream.position;
      },
      unsubscribe: () => end(),
      async *[Symbol.asyncIterator]() {
        if (handler) throw new TypeError('a subscription with a handler is not read');
        try {
          for (;;) {
            const next = waiting.shift();
            if (next) {
              if (!waiting.length && !ended && !streams.has(stream.id)) resume(stream);
              yield next;
            } else if (ended) {
              if (why !== undefined) throw why;
              return;
            } else {
              await new Promise<void>((woken) => { wake = woken; });
            }
          }
        } finally {
          end();
        }
      },
    };
  };

  /** The host says something about a stream. */
  const hear = ([what, id, ...rest]: Down) => {
    const stream = streams.get(id as number);
    if (!stream) return;
    const { channel, position, readers } = stream;
    const [epoch, offset, last] = rest as [string, number, never];
    const tell = (type: 'recovered' | 'gap') => emit(type, { channel, ...where(stream.position) });
    switch (what) {
      case 'subscribed': {
        if (!last) stream.position = positionOf(epoch, offset);
        readers.forEach((reader) => reader.begin(started(stream.position, last)));
        // To the application it goes on, although to this host it began.
        if (stream.begun || position) tell(last ? 'recovered' : 'gap');
        stream.begun = true;
        return;
      }
      case 'gap':
        stream.position = positionOf(epoch, offset);
        tell(what);
        return;
      case 'recovered':
        tell(what);
        return;
      case 'unsubscribed': {
        const error = errorOf(epoch, offset as unknown as string, channel);
        readers.forEach((reader) => reader.end(error));
        return report(error);
      }
      case 'publication': {
        if (epoch && epoch === position?.epoch && offset <= position.offset) return;
        stream.position = positionOf(epoch, offset);
        const publication = { event: '', ...JSON.parse(last), ...where(stream.position) };
        return readers.forEach((reader) => reader.take(publication));
      }
      case 'presence': {
        const { push: type, member } = JSON.parse(epoch);
        readers.forEach(({ options: { presence } }) => presence && run(presence, { type, channel, member }));
      }
    }
  };

  return {
    subscribe,
    hear,
    /** To a host that knows none of them. */
    tellAll: () => streams.forEach(ask),
    close: () => streams.forEach(({ readers }) => readers.forEach((reader) => reader.end())),
  };
}

const positionOf = (epoch: string, offset: number): Position | undefined => (epoch ? { epoch, offset } : undefined);
const where = (position: Position | undefined) => position && { position };
const started = (position: Position | undefined, recovered: boolean): Started => ({ ...where(position), recovered });
