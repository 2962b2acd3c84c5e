// esbuild and Rollup do not know `new URL('./file', import.meta.url)`: the files are copied beside the bundle.
import { copyFileSync } from 'node:fs';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { build } from 'esbuild';
import { rollup } from 'rollup';

await build({ entryPoints: ['main.js'], bundle: true, format: 'esm', outdir: 'dist/esbuild' });

const bundle = await rollup({ input: 'main.js', plugins: [nodeResolve({ browser: true })] });
await bundle.write({ dir: 'dist/rollup' });
await bundle.close();

for (const folder of ['dist/esbuild', 'dist/rollup']) {
  for (const file of ['worker.js', 'cometql.wasm']) copyFileSync(`node_modules/cometql/dist/${file}`, `${folder}/${file}`);
  copyFileSync('index.html', `${folder}/index.html`);
}
