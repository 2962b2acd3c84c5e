// As `webpack --mode production` in a folder without configuration, but for the names of folders.
import { copyFileSync } from 'node:fs';
import webpack from 'webpack';

const stats = await new Promise((resolve, reject) => {
  const options = { mode: 'production', entry: './main.js', output: { path: `${import.meta.dirname}/dist`, publicPath: 'auto' } };
  webpack(options, (error, stats) => (error ? reject(error) : resolve(stats)));
});
if (stats.hasErrors()) throw new Error(stats.toString());
copyFileSync('index.html', 'dist/index.html');
