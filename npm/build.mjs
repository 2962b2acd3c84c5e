// Builds the package into `dist`, or with `--tests` the tests into `build/test`. `cargo xtask npm` runs it after it has
// built the WebAssembly module, whose folder is COMETQL_WASM.
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const here = dirname(fileURLToPath(import.meta.url));
const wasm = resolve(here, process.env.COMETQL_WASM ?? '../target/wasm/pkg');
const { version } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));

/** Compressed bytes that a file, or several together, may have. */
const LIMITS = [
  [['index.js'], 3 * 1024],
  [['worker.js', 'cometql.wasm'], 35 * 1024],
];

/** What wasm-bindgen wrote, without its own guess of the module's address: bundlers would look for that file. */
const glue = {
  name: 'glue',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^#wasm$/ }, () => ({ path: join(wasm, 'cometql.js') }));
    onLoad({ filter: /[\\/]cometql\.js$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8').replace(/new URL\([^)]*_bg\.wasm[^)]*\)/, 'undefined');
      return { contents, loader: 'js' };
    });
  },
};

/** The package itself, for its other entries: pages that import both must get one copy of it. */
const self = {
  name: 'self',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: 'cometql', external: true }));
  },
};

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: !process.argv.includes('--readable'),
  sourcemap: true,
  // Firefox 114, Safari 15, Chrome 94.
  target: 'es2022',
  legalComments: 'none',
  define: { VERSION: JSON.stringify(version) },
  plugins: [glue],
  logLevel: 'warning',
};

async function tests() {
  rmSync(join(here, 'build'), { recursive: true, force: true });
  const entryPoints = readdirSync(join(here, 'test')).filter((file) => file.endsWith('.test.ts')).map((file) => `test/${file}`);
  await build({ ...common, entryPoints, outdir: 'build/test', format: 'esm', platform: 'node', packages: 'external', splitting: true, minify: false, plugins: [] });
}

async function dist() {
  rmSync(join(here, 'dist'), { recursive: true, force: true });
  const to = (outfile) => ({ outfile: `dist/${outfile}` });
  const browser = { ...common, platform: 'browser' };
  // A plain script knows its own address only while it runs.
  const script = {
    ...browser, format: 'iife',
    banner: { js: 'var CometQLScript=document.currentScript&&document.currentScript.src||location.href;' },
    define: { ...common.define, 'import.meta.url': 'CometQLScript' },
  };
  await Promise.all([
    build({
      ...browser, ...to('index.js'), entryPoints: ['src/index.ts'], format: 'esm', external: ['./fallback.js'],
      // Names between parts of the client.
      mangleProps: /^(begun|tellAll|hear|report|emit|run|begin|take|end)$/,
    }),
    build({ ...browser, ...to('fallback.js'), entryPoints: ['src/fallback.ts'], format: 'esm' }),
    build({ ...browser, ...to('worker.js'), entryPoints: ['src/worker.ts'], format: 'iife' }),
    build({ ...common, ...to('node.js'), entryPoints: ['src/node.ts'], format: 'esm', platform: 'node' }),
    build({ ...browser, ...to('legacy.js'), entryPoints: ['src/legacy.ts'], format: 'esm', plugins: [self] }),
    ...['react', 'vue'].map((framework) =>
      build({ ...browser, ...to(`${framework}.js`), entryPoints: [`src/${framework}.ts`], format: 'esm', external: [framework] })),
    build({ ...script, ...to('cometql.iife.js'), entryPoints: ['src/index.ts'], globalName: 'CometQL' }),
    build({ ...script, ...to('cometql-legacy.iife.js'), entryPoints: ['src/legacy-script.ts'] }),
  ]);
  await squeeze('index.js', true);
  await squeeze('worker.js', false);
  copyFileSync(join(wasm, 'cometql_bg.wasm'), join(here, 'dist/cometql.wasm'));
  execFileSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '--project', 'tsconfig.types.json'], { cwd: here, stdio: 'inherit' });
}

/** Terser finds 4 % more than esbuild, in the files that have limits. */
async function squeeze(file, module) {
  const path = join(here, 'dist', file);
  const { code, map } = await minify(readFileSync(path, 'utf8'), {
    module,
    ecma: 2022,
    compress: { passes: 3 },
    sourceMap: { content: readFileSync(`${path}.map`, 'utf8'), filename: file, url: `${file}.map` },
  });
  writeFileSync(path, code);
  writeFileSync(`${path}.map`, map);
}

/** Fails when a file has outgrown its limit. */
function sizes() {
  const compressed = (file) => gzipSync(readFileSync(join(here, 'dist', file)), { level: 9 }).length;
  for (const file of readdirSync(join(here, 'dist')).filter((name) => /\.(js|wasm)$/.test(name))) {
    console.log(`${file.padEnd(18)} ${String(statSync(join(here, 'dist', file)).size).padStart(7)} bytes, ${compressed(file)} compressed`);
  }
  for (const [files, limit] of LIMITS) {
    const total = files.map(compressed).reduce((sum, size) => sum + size);
    if (total > limit) throw new Error(`${files.join(' + ')}: ${total} bytes compressed, more than ${limit}`);
  }
}

if (process.argv.includes('--tests')) {
  await tests();
} else {
  await dist();
  sizes();
}
