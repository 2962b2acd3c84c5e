// mysql2: escaped text, prepared statements, 50 concurrent queries on one connection, a pool, errors, wrong key.
import assert from 'node:assert/strict';
import mysql from 'mysql2/promise';
import { cases, channel, expectCode, expectRows, login } from './common.mjs';

const INSERT = 'INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)';
const connection = await mysql.createConnection(login);
await connection.query('INSERT INTO pipes_settings (name, length) VALUES (?, 90)', [channel]);
for (const text of cases) await connection.query(INSERT, [channel, 'text', text]);
for (const text of cases) await connection.execute(INSERT, [channel, 'prepared', text]);
const bulk = 'INSERT INTO pipes_messages (name, event, message) VALUES ?';
await connection.query(bulk, [cases.map((text) => [channel, 'bulk', text])]);
const [rows] = await connection.execute('SELECT event, message FROM pipes_messages WHERE name = ?', [channel]);
expectRows(rows, ['text', 'prepared', 'bulk']);

// Numbers of prepared statements come as doubles.
await connection.execute('INSERT INTO users_data (id, data) VALUES (?, ?)', [7, 'seven']);
const [[{ data }]] = await connection.execute('SELECT data FROM users_data WHERE id = ?', [7]);
assert.equal(data, 'seven');

const numbers = Array.from({ length: 50 }, (_, at) => at);
const answers = await Promise.all(numbers.map((at) => connection.query('SELECT ? + 1 AS next', [at])));
assert.deepEqual(answers.map(([found]) => Number(found[0].next)), numbers.map((at) => at + 1));

await expectCode(connection.query('SELECT * FROM no_such_table'), 15, 'unknown table');
await expectCode(connection.execute('SELEC 1'), 3, 'syntax');
await connection.ping();
await connection.changeUser({ user: 'root', password: login.password, database: login.database });
await connection.end();

const pool = mysql.createPool({ ...login, connectionLimit: 4 });
await Promise.all(numbers.map(() => pool.query('SELECT 1')));
await pool.end();
await expectCode(mysql.createConnection({ ...login, password: 'wrong' }), 16, 'wrong key');
console.log('ways: text prepared bulk');
