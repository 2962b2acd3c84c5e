// The browser client's built package in a real browser against real nodes. COMETQL_BROWSER says which one; arguments choose
// cases by parts of their names.
import { cases } from './client_cases.mjs';
import { launch, World } from './client_fixture.mjs';

const name = process.env.COMETQL_BROWSER;
/** Cases at once: most of them wait most of the time. Firefox starts a process for each tab. */
const AT_ONCE = name === 'firefox' ? 2 : 4;
const parts = process.argv.slice(2);
const chosen = cases.filter((one) => (one.browsers ?? [name]).includes(name) && (parts.length === 0 || parts.some((part) => one.name.includes(part))));
const failed = [];

async function run(browser, { name, run }) {
  const world = new World(browser);
  const began = Date.now();
  let error;
  try {
    await world.start();
    await run(world);
  } catch (thrown) {
    error = thrown;
  }
  await world.end().catch((thrown) => { error ??= thrown; });
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.error(`${error ? 'FAILED' : 'passed'} ${seconds} s  ${name}`);
  if (error) failed.push(`${name}: ${error.stack}`);
}

const browser = await launch();
const waiting = [...chosen];
const worker = async () => {
  for (let one = waiting.shift(); one; one = waiting.shift()) await run(browser, one);
};
try {
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
} finally {
  await browser.close();
}
console.error(`${chosen.length - failed.length} of ${chosen.length} cases passed in ${name}`);
if (failed.length > 0 || chosen.length === 0) {
  console.error(failed.join('\n'));
  process.exitCode = 1;
}
