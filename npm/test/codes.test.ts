import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CLIENT_CODES, CLOSE_CODES, SERVER_CODES } from '../src/codes.js';

const page = (name: string) => readFileSync(new URL(`../../../docs-site/reference/${name}`, import.meta.url), 'utf8');

/** The words of a table's column, in the section with that heading. */
function column(text: string, heading: string, at: number, where = (_: string[]) => true): string[] {
  const section = text.split(/^## /m).find((part) => part.startsWith(heading))!;
  const rows = section.split('\n').filter((line) => line.startsWith('|')).map((line) => line.split('|').map((cell) => cell.trim()));
  return rows.slice(2).filter(where).map((cells) => cells[at]!.replaceAll('`', ''));
}

test('codes are those of the documentation', () => {
  const errors = page('errors.md');
  assert.deepEqual(column(errors, 'Browser protocol', 1), [...SERVER_CODES]);
  assert.deepEqual(column(errors, 'Close codes', 2, (cells) => cells[3] === 'stop'), [...CLOSE_CODES]);
  assert.deepEqual(column(page('browser-client.md'), 'Errors', 1), [...CLIENT_CODES]);
});
