"""The demos' backend. Writes to its own database, then tells CometQL with any MySQL client; if that fails, neither is done."""

import json, os, secrets, sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pymysql

PUBLISH = "INSERT INTO pipes_messages (name, event, message) VALUES (%s, %s, %s)"


def comment(own, cometql, name, text):
    own.execute("INSERT INTO comments (name, text) VALUES (?, ?)", (name, text))
    cometql.execute(PUBLISH, ("comments_demo", "comment", json.dumps({"name": name, "text": text})))


def ticket(own, cometql):
    sold = own.execute("INSERT INTO tickets DEFAULT VALUES").lastrowid
    cometql.execute(PUBLISH, ("counters_demo", "tickets", sold))


def login(own, cometql, user):  # A real site asks for a password before.
    own.execute("INSERT OR IGNORE INTO logins (user, hash) VALUES (?, ?)", (int(user), secrets.token_hex(16)))
    [secret] = own.execute("SELECT hash FROM logins WHERE user = ?", (int(user),)).fetchone()
    cometql.execute("INSERT INTO users_auth (id, hash) VALUES (%s, %s)", (int(user), secret))
    return {"user": int(user), "hash": secret}


def letter(own, cometql, user, hash, to, text):
    if not own.execute("SELECT 1 FROM logins WHERE user = ? AND hash = ?", (int(user), hash)).fetchone():
        raise PermissionError("not logged in")
    own.execute("INSERT INTO letters (sender, recipient, text) VALUES (?, ?, ?)", (int(user), int(to), text))
    message = json.dumps({"from": int(user), "text": text})
    cometql.execute("INSERT INTO users_messages (id, event, message) VALUES (%s, 'letter', %s)", (int(to), message))


ACTIONS = {"/comment": comment, "/ticket": ticket, "/login": login, "/letter": letter}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        own = sqlite3.connect(os.environ["DATABASE"])
        try:
            cometql = pymysql.connect(
                host=os.environ["COMETQL_HOST"], port=int(os.environ["COMETQL_PORT"]), user="root",
                password=os.environ["COMETQL_PASSWORD"], database="CometQL_v1",
            )
            with own, cometql, cometql.cursor() as cursor:
                answer = ACTIONS[self.path](own, cursor, **form)
            self.answer(200, answer or {})
        except Exception as error:
            self.answer(500, {"error": str(error)})

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Access-Control-Allow-Origin", "*")  # The demos' pages are served by CometQL itself.
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


sqlite3.connect(os.environ["DATABASE"]).executescript("""
    CREATE TABLE IF NOT EXISTS comments (id INTEGER PRIMARY KEY, name, text);
    CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS logins (user INTEGER PRIMARY KEY, hash);
    CREATE TABLE IF NOT EXISTS letters (id INTEGER PRIMARY KEY, sender, recipient, text);
""")
host, port = os.environ["LISTEN"].split(":")
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
