// How long a tab takes from connect() to being online: the first one, which starts the worker, and later ones. Not a test:
// run it where `cargo xtask clients` has installed the packages, with the variables that it sets.
import { launch, World } from './client_fixture.mjs';

const TABS = 20;

const name = process.env.COMETQL_BROWSER;
const browser = await launch();
const world = new World(browser);
try {
  await world.start();
  const times = [];
  const loads = [];
  for (let at = 0; at <= TABS; at++) {
    const [tab] = await world.openAll(1, { channels: ['web_a'] });
    times.push(await tab.evaluate(() => page.online));
    loads.push(await tab.evaluate(() => page.began + page.online));
  }
  const say = (what, [first, ...later]) => {
    const sorted = later.toSorted((one, other) => one - other);
    const [median, ninth] = [0.5, 0.9].map((part) => sorted[Math.floor(part * (sorted.length - 1))]);
    console.log(`${name}, ${what}: first tab ${first.toFixed(0)} ms; ${later.length} later ones: median ${median.toFixed(0)}, 90 % within ${ninth.toFixed(0)} ms`);
  };
  say('from connect() to online', times);
  say('from the start of the navigation to online', loads);
} finally {
  await world.end();
  await browser.close();
}
