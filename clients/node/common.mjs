// What every Node client test needs: where the server is, the texts to send, and how to compare.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const { COMETQL_HOST, COMETQL_PORT, COMETQL_PASSWORD, COMETQL_CHANNEL, COMETQL_CASES, COMETQL_CA } = process.env;

export const channel = COMETQL_CHANNEL;
export const cases = JSON.parse(readFileSync(COMETQL_CASES, 'utf8'));
export const login = {
  host: COMETQL_HOST,
  port: Number(COMETQL_PORT),
  user: 'root',
  password: COMETQL_PASSWORD,
  database: 'CometQL_v1',
  charset: 'utf8mb4',
  ...(COMETQL_CA && { ssl: { ca: readFileSync(COMETQL_CA), rejectUnauthorized: true, verifyIdentity: false } }),
};

/** The history holds every text once for each way, in order. */
export function expectRows(rows, ways) {
  const wanted = ways.flatMap((event) => cases.map((message) => ({ event, message })));
  assert.equal(rows.length, wanted.length, 'rows in the history');
  rows.forEach((row, at) => assert.deepEqual({ ...row }, wanted[at]));
}

/** The promise fails with the server's code. */
export async function expectCode(promise, code, what) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.errno, code, `${what}: ${error.message}`);
    return true;
  });
}
