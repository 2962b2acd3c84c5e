// Loads the WebAssembly module in browsers and workers.

import init, { Hub } from '#wasm';
import type { Load } from './hub.js';

export const load: Load = async (wasm) => {
  await init({ module_or_path: wasm });
  return Hub;
};
