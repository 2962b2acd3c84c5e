// esbuild and Rollup, with the files copied as the documentation says.
import { build, twoTabs, withFiles } from './bundler.mjs';

build();
for (const folder of ['dist/esbuild', 'dist/rollup']) await withFiles(folder, (url) => twoTabs(url, ['new hello', 'old hello']));
