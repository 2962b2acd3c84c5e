// Vite: built, and as its development server serves it.
import { build, twoTabs, withFiles, withServer } from './bundler.mjs';

const LINES = ['new hello', 'old hello'];

build();
await withFiles('dist', (url) => twoTabs(url, LINES));
await withServer((url) => twoTabs(url, LINES));
