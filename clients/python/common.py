"""What every Python client test needs: where the server is, the texts to send, and how to compare."""

import json
import os
import sys

HOST = os.environ["COMETQL_HOST"]
PORT = int(os.environ["COMETQL_PORT"])
PASSWORD = os.environ["COMETQL_PASSWORD"]
CHANNEL = os.environ["COMETQL_CHANNEL"]
CA = os.environ.get("COMETQL_CA")
LOGIN = {"host": HOST, "port": PORT, "user": "root", "password": PASSWORD, "database": "CometQL_v1"}

with open(os.environ["COMETQL_CASES"], encoding="utf-8") as file:
    CASES = json.load(file)

INSERT = "INSERT INTO pipes_messages (name, event, message) VALUES (%s, %s, %s)"
SETTINGS = "INSERT INTO pipes_settings (name, length) VALUES (%s, 90)"
SELECT = "SELECT event, message FROM pipes_messages WHERE name = %s"


def expect(actual, wanted, what):
    """Ends the test with a message unless both are equal."""
    if actual != wanted:
        sys.exit(f"{what}: {str(actual)[:400]!r} instead of {str(wanted)[:400]!r}")


def expect_rows(rows, ways):
    """The history holds every text once for each way, in order."""
    rows = [tuple(row) for row in rows]
    wanted = [(way, case) for way in ways for case in CASES]
    expect(len(rows), len(wanted), "rows in the history")
    for row, want in zip(rows, wanted):
        expect(row, want, "a row of the history")


def expect_error(error_class, code_of, call, code, what):
    """The call must fail with the server's code."""
    try:
        call()
    except error_class as error:
        expect(code_of(error), code, what)
    else:
        sys.exit(f"{what}: no error")


def finish(ways):
    """Tells the harness which events to expect at the subscribed browser."""
    print("ways:", *ways)
