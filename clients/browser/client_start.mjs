// How long a tab takes until it is online: the first one, which starts the worker, and so many later ones. Not a test:
// `cargo xtask load --measure tab-start` runs it and reads what it prints.
import { launch, World } from './client_fixture.mjs';

const later = Number(process.argv[2]);
const browser = await launch();
const world = new World(browser);
try {
  await world.start();
  const [connected, loaded] = [[], []];
  for (let at = 0; at <= later; at++) {
    const [tab] = await world.openAll(1, { channels: ['web_a'] });
    const { online, began } = await tab.evaluate(() => ({ online: page.online, began: page.began }));
    connected.push(online);
    loaded.push(began + online);
  }
  const figures = (since, [first, ...later]) => {
    const sorted = later.toSorted((one, other) => one - other);
    const [median, ninth] = [0.5, 0.9].map((part) => sorted[Math.floor(part * (sorted.length - 1))]);
    return [[`first tab, ${since}`, first], [`later tabs, ${since}, median`, median], [`later tabs, ${since}, 90 % within`, ninth]];
  };
  console.log(JSON.stringify([...figures('from connect()', connected), ...figures('from the navigation', loaded)]));
} finally {
  await world.end();
  await browser.close();
}
