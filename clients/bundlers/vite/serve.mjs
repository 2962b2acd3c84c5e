// As `vite` in a folder without configuration. Prints the address.
import { createServer } from 'vite';

const server = await createServer({ server: { host: '127.0.0.1', port: 0, strictPort: true } });
await server.listen();
console.log(server.resolvedUrls.local[0]);
