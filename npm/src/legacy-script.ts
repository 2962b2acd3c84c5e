// The API as a plain script: its names become global, as pages of the original expect.

import * as names from './legacy.js';

Object.assign(globalThis, names, { _cometServerApi: names.cometServerApi });
