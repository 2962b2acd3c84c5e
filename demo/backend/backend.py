"""The backend of all demos: that of the comments, and what counters and private messages need besides."""

import json, secrets

import comments


def ticket(own, cometql):
    own.execute("CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY)")
    sold = own.execute("INSERT INTO tickets DEFAULT VALUES").lastrowid
    cometql.execute(comments.PUBLISH, ("counters_demo", "tickets", sold))


def login(own, cometql, user):  # A real site asks for a password before.
    own.execute("CREATE TABLE IF NOT EXISTS logins (user INTEGER PRIMARY KEY, hash)")
    own.execute("INSERT OR IGNORE INTO logins (user, hash) VALUES (?, ?)", (int(user), secrets.token_hex(16)))
    [secret] = own.execute("SELECT hash FROM logins WHERE user = ?", (int(user),)).fetchone()
    cometql.execute("INSERT INTO users_auth (id, hash) VALUES (%s, %s)", (int(user), secret))
    return {"user": int(user), "hash": secret}


def letter(own, cometql, user, hash, to, text):
    if not own.execute("SELECT 1 FROM logins WHERE user = ? AND hash = ?", (int(user), hash)).fetchone():
        raise PermissionError("not logged in")
    own.execute("CREATE TABLE IF NOT EXISTS letters (id INTEGER PRIMARY KEY, sender, recipient, text)")
    own.execute("INSERT INTO letters (sender, recipient, text) VALUES (?, ?, ?)", (int(user), int(to), text))
    message = json.dumps({"from": int(user), "text": text})
    cometql.execute("INSERT INTO users_messages (id, event, message) VALUES (%s, 'letter', %s)", (int(to), message))


comments.Handler.actions |= {"/ticket": ticket, "/login": login, "/letter": letter}
comments.serve()
