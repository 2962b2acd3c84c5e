// Stand-ins of the tests: a hub that records what it is told, locks and channels without a browser.

import type { Carrier } from '../src/client.js';
import type { Port } from '../src/host.js';
import type { HubClass, Load, Shell } from '../src/hub.js';
import type { Down, Join, Up } from '../src/messages.js';

const METHODS = [
  'open', 'close', 'online', 'offline', 'time', 'opened', 'text', 'closed', 'token', 'hash', 'noToken', 'joined', 'left',
  'subscribe', 'unsubscribe', 'publish', 'presence', 'presenceCount', 'history', 'userData', 'userStatus', 'inboxOn',
  'inboxOff', 'handled',
];

/** Records calls, without the moment, as `name a b c`. */
export class FakeHub {
  readonly calls: string[] = [];
  constructor(readonly shell: Shell) {
    for (const name of METHODS) {
      (this as Record<string, unknown>)[name] = (_now: number, ...given: unknown[]) => {
        this.calls.push([name, ...given].join(' '));
      };
    }
  }
  /** What it was told since the last time. */
  take(): string[] {
    return this.calls.splice(0);
  }
}

/** Loads fake hubs and keeps them. */
export function loader(): { load: Load; hubs: FakeHub[] } {
  const hubs: FakeHub[] = [];
  class Kept extends FakeHub {
    constructor(shell: Shell) {
      super(shell);
      hubs.push(this);
    }
  }
  return { load: async () => Kept as unknown as HubClass, hubs };
}

/** A page's port that keeps what was posted. */
export class FakePort implements Port {
  readonly posted: Down[] = [];
  post(message: Down): void {
    this.posted.push(message);
  }
  take(): Down[] {
    return this.posted.splice(0);
  }
  kinds(): string[] {
    return this.take().map(([kind]) => kind);
  }
}

export const join = (more: Partial<Join> = {}): Join => ({
  urls: ['http://127.0.0.1:1/'], tenant: 0, uuid: 'u', asks: false, wasm: '', timing: {}, ...more,
});

/** Lets everything happen that waits for nothing but its turn. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

/** A carrier's other end. */
export class FakeCarrier {
  readonly sent: Up[] = [];
  closed: boolean | undefined;
  receive!: (message: Down) => void;
  readonly carry = (_name: string, receive: (message: Down) => void, use: (carrier: Carrier) => void) => {
    this.receive = receive;
    use({
      send: (message: Up) => void this.sent.push(message),
      close: (forGood: boolean) => { this.closed = forGood; },
    });
  };
  take(): Up[] {
    return this.sent.splice(0);
  }
}

/** One exclusive lock. */
export class FakeLocks {
  #held: { lost: (error: Error) => void } | undefined;
  readonly #waiting: (() => void)[] = [];
  readonly request = ((_name: string, options: LockOptions, held: () => Promise<void> | undefined) =>
    new Promise((resolve, reject) => {
      const grant = () => {
        const mine = { lost: reject };
        this.#held = mine;
        void Promise.resolve(held()).then((result) => {
          if (this.#held === mine) {
            this.#held = undefined;
            this.#waiting.shift()?.();
          }
          resolve(result);
        });
      };
      if (options.steal) this.#held?.lost(new DOMException('stolen', 'AbortError'));
      if (options.steal || !this.#held) return grant();
      this.#waiting.push(grant);
      options.signal?.addEventListener('abort', () => {
        const at = this.#waiting.indexOf(grant);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(options.signal!.reason);
      });
    })) as unknown as LockManager['request'];
}

/** Broadcast channels of one name, which copy what they carry. A frozen one neither hears nor is heard. */
export class FakeChannels {
  readonly #all = new Set<FakeChannel>();
  readonly open = (): FakeChannel => {
    const channel = new FakeChannel(this.#all);
    this.#all.add(channel);
    return channel;
  };
}

export class FakeChannel {
  onmessage: ((event: MessageEvent) => void) | null = null;
  frozen = false;
  constructor(readonly all: Set<FakeChannel>) {}
  postMessage(data: unknown): void {
    if (this.frozen) return;
    for (const other of this.all) {
      if (other === this) continue;
      queueMicrotask(() => {
        if (!other.frozen) other.onmessage?.({ data: structuredClone(data) } as MessageEvent);
      });
    }
  }
  close(): void {
    this.all.delete(this);
  }
}
