// `next build` without configuration, with the flags that are given.
import { execFileSync } from 'node:child_process';

execFileSync(process.execPath, ['node_modules/next/dist/bin/next', 'build', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' },
});
