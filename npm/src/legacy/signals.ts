// Signals within a page, and between the tabs of a browser: `tabSignal` of the original. Messages of the server travel as
// signals, too, but stay in their page.

/** What a signal calls: its value, its name, and whether another tab sent it. */
export type Slot = (value: any, signal: string, fromOther: boolean) => unknown;

/** Signals between pages. */
export interface TabSignal {
  /** Calls a function on a signal; without a name of its own the slot gets one, which is returned. */
  connect(signal: string, handler: Slot): string;
  connect(slot: string, signal: string, handler: Slot): string;
  /** Ends a slot; false when there is none. */
  disconnect(slot: string, signal: string): boolean;
  /** Sends a signal within the page. */
  emit(signal: string, value?: unknown): void;
  /** Sends a signal to all tabs, this one included. */
  emitAll(signal: string, value?: unknown): true;
  /** Notes a state that all tabs see. */
  setState(name: string, value: unknown): true;
  /** The state, null without one. */
  getState(name: string): any;
  getTabUUID(): string;
}

const STATE = 'tabSignal_state_';

/** `tabs`: the name under which pages of one origin hear of each other; none for signals of this page only. */
export function createSignals(tabs?: string): TabSignal & { add(signal: string, handler: Slot): string } {
  const slots = new Map<string, Map<string, Slot>>();
  const states = new Map<string, unknown>();
  const tabUuid = randomName(16);
  let last = 0;
  let others: BroadcastChannel | undefined;

  /** An open channel has its price for a page that does not need it. */
  const open = () => {
    if (!tabs || others || typeof BroadcastChannel === 'undefined') return;
    others = new BroadcastChannel(tabs);
    others.onmessage = ({ data: [signal, value] }) => tell(signal, value, true);
    // Node.js would wait for it.
    (others as { unref?: () => void }).unref?.();
  };
  const tell = (signal: string, value: unknown, fromOther: boolean) => {
    for (const handler of [...(slots.get(signal)?.values() ?? [])]) {
      try {
        handler(value, signal, fromOther);
      } catch (error) {
        // One that fails is no reason to spare the others.
        console.error(error);
      }
    }
  };
  const add = (signal: string, handler: Slot, slot = `sig${last++}`) => {
    if (!slots.has(signal)) slots.set(signal, new Map());
    slots.get(signal)!.set(slot, handler);
    return slot;
  };
  return {
    add,
    connect(first: string, second: string | Slot, third?: Slot) {
      open();
      return typeof second === 'function' ? add(first, second) : add(second, third!, first);
    },
    disconnect: (slot, signal) => slots.get(signal)?.delete(slot) ?? false,
    emit: (signal, value) => tell(signal, value, false),
    emitAll(signal, value) {
      open();
      tell(signal, value, false);
      others?.postMessage([signal, value]);
      return true;
    },
    setState(name, value) {
      states.set(name, value);
      if (tabs) store(STATE + name, JSON.stringify(value ?? null));
      return true;
    },
    getState(name) {
      const kept = tabs ? stored(STATE + name) : undefined;
      return kept === undefined ? (states.get(name) ?? null) : JSON.parse(kept);
    },
    getTabUUID: () => tabUuid,
  };
}

/** So many characters that nobody guesses. */
export function randomName(length: number): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return [...crypto.getRandomValues(new Uint8Array(length))].map((byte) => letters[byte & 63]).join('');
}

export function stored(key: string): string | undefined {
  try {
    return localStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

export function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then it is forgotten with the page.
  }
}
