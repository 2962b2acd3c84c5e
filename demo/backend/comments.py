"""The backend of live comments. Writes to its own database, then tells CometQL; if that fails, neither is done."""

import json, os, sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pymysql

SERVER = {"host": os.environ["COMETQL_HOST"], "port": int(os.environ["COMETQL_PORT"]), "password": os.environ["COMETQL_PASSWORD"]}
PUBLISH = "INSERT INTO pipes_messages (name, event, message) VALUES (%s, %s, %s)"


def comment(own, cometql, name, text):
    own.execute("CREATE TABLE IF NOT EXISTS comments (id INTEGER PRIMARY KEY, name, text)")
    own.execute("INSERT INTO comments (name, text) VALUES (?, ?)", (name, text))
    cometql.execute(PUBLISH, ("comments_demo", "comment", json.dumps({"name": name, "text": text})))


class Handler(BaseHTTPRequestHandler):
    actions = {"/comment": comment}

    def do_POST(self):
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        own, cometql = sqlite3.connect(os.environ["DATABASE"]), pymysql.connect(user="root", database="CometQL_v1", **SERVER)
        with own, cometql, cometql.cursor() as statements:
            answer = self.actions[self.path](own, statements, **form)
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")  # The demos' pages are served by CometQL itself.
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


def serve():
    host, port = os.environ["LISTEN"].split(":")
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    serve()
