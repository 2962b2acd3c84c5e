"""mysql-connector-python: text and prepared statements, reset, errors. Its log-in is chosen by COMETQL_AUTH."""

import os

import mysql.connector

from common import CA, CASES, CHANNEL, INSERT, LOGIN, SELECT, SETTINGS, expect, expect_error, expect_rows, finish

options = dict(LOGIN, autocommit=True, use_pure=True, auth_plugin=os.environ["COMETQL_AUTH"])
if CA:
    options["ssl_ca"] = CA
else:
    options["ssl_disabled"] = True


def code(error):
    return error.errno


connection = mysql.connector.connect(**options)
cursor = connection.cursor()
cursor.execute(SETTINGS, (CHANNEL,))
for case in CASES:
    cursor.execute(INSERT, (CHANNEL, "text", case))
prepared = connection.cursor(prepared=True)
for case in CASES:
    prepared.execute(INSERT, (CHANNEL, "prepared", case))
prepared.execute(SELECT, (CHANNEL,))
expect_rows(prepared.fetchall(), ["text", "prepared"])
prepared.close()
expect_error(mysql.connector.Error, code, lambda: cursor.execute("SELECT * FROM no_such_table"), 15, "unknown table")
expect_error(mysql.connector.Error, code, lambda: cursor.execute("SELEC 1"), 3, "syntax")
connection.reset_session()
cursor.execute("SELECT 1 + 1")
expect(int(cursor.fetchone()[0]), 2, "the connection goes on after an error")
connection.close()
finish(["text", "prepared"])
