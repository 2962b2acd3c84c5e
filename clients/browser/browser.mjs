// A headless browser with a profile of its own, and what the browser tests need to know.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, firefox } from 'playwright-core';
import { PATIENCE } from './server.mjs';

const { COMETQL_BROWSER = 'chromium', COMETQL_HTTP, COMETQL_ADMIN, COMETQL_HOST, COMETQL_PORT, COMETQL_PASSWORD } = process.env;

export const http = COMETQL_HTTP;
export const admin = COMETQL_ADMIN;
export const key = COMETQL_PASSWORD;
export const login = {
  host: COMETQL_HOST,
  port: Number(COMETQL_PORT),
  user: 'root',
  password: COMETQL_PASSWORD,
  database: 'CometQL_v1',
};

const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

const BROWSERS = {
  chromium: (profile, more) => chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [...flags, ...more],
  }),
  // Firefox as it is, by its own protocol. Playwright 1.63 and newer send commands that Firefox 153 does not know.
  firefox: (profile) => firefox.launchPersistentContext(profile, {
    channel: 'moz-firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
  }),
};

/** Runs the test in a fresh browser; Chromium is started with more flags if wanted. Errors of pages make it fail. */
export async function withBrowser(test, more = []) {
  const profile = await mkdtemp(join(tmpdir(), 'cometql-browser-'));
  const browser = await BROWSERS[COMETQL_BROWSER](profile, more);
  browser.setDefaultTimeout(PATIENCE);
  const errors = [];
  browser.on('weberror', (error) => errors.push(error.error()));
  try {
    await test(browser);
  } finally {
    await browser.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
  if (errors.length > 0) throw errors[0];
}
