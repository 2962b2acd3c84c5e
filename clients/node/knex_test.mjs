// knex, a query builder, through its usual connection set-up (mysql2 below).
import assert from 'node:assert/strict';
import knex from 'knex';
import { cases, channel, expectCode, expectRows, login } from './common.mjs';

const database = knex({ client: 'mysql2', connection: login, pool: { min: 0, max: 3 } });
await database('pipes_settings').insert({ name: channel, length: 90 });
for (const message of cases) await database('pipes_messages').insert({ name: channel, event: 'one', message });
await database('pipes_messages').insert(cases.map((message) => ({ name: channel, event: 'many', message })));
expectRows(await database('pipes_messages').select('event', 'message').where({ name: channel }), ['one', 'many']);
const [{ count }] = await database('pipes_messages').where('name', channel).count({ count: '*' });
assert.equal(Number(count), 2 * cases.length);
await expectCode(database('no_such_table').select(), 15, 'unknown table');
await database.destroy();
console.log('ways: one many');
