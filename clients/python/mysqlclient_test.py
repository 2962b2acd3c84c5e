"""mysqlclient (the C client library): text protocol, errors, wrong key."""

import MySQLdb

from common import CA, CASES, CHANNEL, INSERT, LOGIN, SELECT, SETTINGS, expect, expect_error, expect_rows, finish

options = dict(LOGIN, charset="utf8mb4", autocommit=True)
if CA:
    options["ssl"] = {"ca": CA}


def code(error):
    return error.args[0]


connection = MySQLdb.connect(**options)
cursor = connection.cursor()
cursor.execute(SETTINGS, (CHANNEL,))
for case in CASES:
    cursor.execute(INSERT, (CHANNEL, "text", case))
cursor.executemany(INSERT, [(CHANNEL, "many", case) for case in CASES])
cursor.execute(SELECT, (CHANNEL,))
expect_rows(cursor.fetchall(), ["text", "many"])
expect_error(MySQLdb.Error, code, lambda: cursor.execute("SELECT * FROM no_such_table"), 15, "unknown table")
expect_error(MySQLdb.Error, code, lambda: cursor.execute("SELEC 1"), 3, "syntax")
cursor.execute("SELECT 1 + 1")
expect(int(cursor.fetchone()[0]), 2, "the connection goes on after an error")
connection.ping()
connection.close()
expect_error(MySQLdb.Error, code, lambda: MySQLdb.connect(**dict(options, password="wrong")), 16, "wrong key")
finish(["text", "many"])
