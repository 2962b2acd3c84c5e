// As `vite build` in a folder without configuration.
import { build } from 'vite';

await build({ logLevel: 'warn' });
