// What the browser's JSON.parse reads in a frame is what serde reads: every example of the protocol's page, and oddities.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'node:test';

const folder = process.env.COMETQL_FRAMES;
const { initSync, readings } = await import(pathToFileURL(join(folder, 'frames.js')));
initSync({ module: readFileSync(join(folder, 'frames_bg.wasm')) });

const page = readFileSync(new URL('../../docs-site/reference/browser-protocol.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^```json (?:reply|push)\n(.*?)^```/gms)].flatMap(([, block]) => block.trim().split('\n'));

/** Both readers say the same, and whether it is something. */
function check(text, understood) {
  const [browser, serde] = readings(text);
  assert.equal(browser, serde, text);
  assert.equal(browser !== 'None', understood, `${text}: ${browser}`);
}

test('every example of the protocol page', () => {
  assert.ok(examples.length > 15, `${examples.length}`);
  for (const example of examples) check(example, true);
});

test('what a reading looks like', () => {
  const [browser] = readings('{"push":"publication","channel":"web_a","data":{},"offset":9007199254740991,"previous":4,"time":1}');
  assert.equal(browser, 'Some(Publication("web_a", Some((9007199254740991, 4))))');
});

test('escapes, spaces and fields of newer servers', () => {
  for (const text of [
    '{ "push" : "publication" , "channel" : "we\\u0062_a" , "data" : "\\ud83d\\ude00" , "new" : [1, {"push": 5}] }',
    '{"id":4294967295,"error":{"code":"bad_name","message":"\\"é\\" \\n\\\\","more":null}}',
    '{"id":1,"subscribed":{"channel":"web_a","epoch":"x","offset":3,"recovered":false,"replayed":0}}',
    '{"id":1,"subscribed":{"channel":"web_a","recovered":false,"replayed":0}}',
    '{"id":0,"whatever":{}}',
    '{"id":2,"connected":{}}',
  ]) check(text, true);
});

test('what is not understood is nothing', () => {
  for (const text of [
    '', 'hello', 'null', '5', '"push"', '[]', '{}', '{"id":-1}', '{"id":4294967296}', '{"id":"1"}',
    '{"push":"dance"}', '{"push":"join"}', '{"push":"message"}', '{"push":"unsubscribed","channel":"web_a"}',
    '{"id":1,"error":{"code":"x"}}', '{"id":1,"subscribed":{}}', '{"push":"join","channel":"web_a"',
  ]) check(text, false);
});
