// webpack.
import { build, twoTabs, withFiles } from './bundler.mjs';

build();
await withFiles('dist', (url) => twoTabs(url, ['new hello', 'old hello']));
