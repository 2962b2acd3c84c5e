"""The mariadb command line, and mariadb-admin. Its log-in is chosen by COMETQL_AUTH."""

import os
import subprocess

from common import CA, CASES, CHANNEL, HOST, PASSWORD, PORT, expect, expect_rows, finish

tls = ["--ssl", f"--ssl-ca={CA}"] if CA else ["--skip-ssl"]
login = [f"--host={HOST}", f"--port={PORT}", "--protocol=tcp", "--user=root", *tls]
login += [f"--default-auth={os.environ['COMETQL_AUTH']}"]
environment = dict(os.environ, MYSQL_PWD=PASSWORD)
BACKSLASHES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
BATCH = {"\\\\": "\\", "\\n": "\n", "\\t": "\t", "\\0": "\0"}


def cli(sql, database="CometQL_v1", **more):
    command = ["mariadb", *login, "--batch", "--skip-column-names", "--default-character-set=utf8mb4", database]
    return subprocess.run(command, input=sql.encode(), capture_output=True, env=dict(environment, **more), timeout=50)


def literal(text):
    return "'" + "".join(BACKSLASHES.get(c, c) for c in text) + "'"


def unescape(field):
    """Undoes what --batch does to the fields of a row."""
    text, rest = "", field
    while rest:
        size = 2 if rest[:2] in BATCH else 1
        text += BATCH.get(rest[:2], rest[:1])
        rest = rest[size:]
    return text


def insert(case):
    return f"INSERT INTO pipes_messages (name, event, message) VALUES ('{CHANNEL}', 'text', {literal(case)});\n"


statements = f"INSERT INTO pipes_settings (name, length) VALUES ('{CHANNEL}', 90);\n"
done = cli(statements + "".join(insert(case) for case in CASES))
expect(done.stderr, b"", "the inserts")
done = cli(f"SELECT event, message FROM pipes_messages WHERE name = '{CHANNEL}';")
lines = done.stdout.decode().split("\n")[:-1]
expect_rows([[unescape(field) for field in line.split("\t")] for line in lines], ["text"])

done = cli("SELECT * FROM no_such_table;")
expect(b"ERROR 15 (HY000)" in done.stderr, True, done.stderr.decode())
done = cli("SELEC 1;")
expect(b"ERROR 3 (HY000)" in done.stderr, True, done.stderr.decode())
done = cli("SELECT 1;", MYSQL_PWD="wrong")
expect(b"ERROR 16 (HY000)" in done.stderr, True, done.stderr.decode())
done = cli("USE CometQL_v1; SHOW TABLES;")
expect("pipes_messages" in done.stdout.decode().split(), True, "SHOW TABLES")
done = subprocess.run(["mariadb-admin", *login, "ping"], capture_output=True, env=environment, timeout=20)
expect(done.stdout.strip(), b"mysqld is alive", "mariadb-admin ping")
finish(["text"])
