"""websockets, a client that checks what it gets against RFC 6455: texts to and fro, fragments, pings, closes."""

import json
import os

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from common import CASES, CHANNEL, expect

LARGEST = 64 * 1024
# How long one thing may take, in seconds, on however slow a machine.
PATIENCE = 60
URL = f"ws://{os.environ['COMETQL_HTTP']}/connect?v=1"
TEXTS = [case for case in CASES if len(case.encode()) <= LARGEST]


def data_of(text):
    """A JSON object or array arrives as it is, any other text as a string."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (dict, list)) else text


def publish(text):
    return json.dumps({"id": 2, "publish": {"channel": CHANNEL, "data": text}}, ensure_ascii=False)


def pushes(socket, count):
    """The payloads of the next publications; replies are passed over."""
    found = []
    while len(found) < count:
        message = json.loads(socket.recv(timeout=PATIENCE))
        if message.get("push") == "publication":
            found.append(message["data"])
    return found


def close_code(socket):
    try:
        while True:
            socket.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd.code


with connect(URL, open_timeout=PATIENCE, close_timeout=PATIENCE, ping_timeout=PATIENCE) as socket:
    # It offers permessage-deflate; the server does not take it.
    expect(socket.response.headers.get("Sec-WebSocket-Extensions"), None, "extensions")
    socket.send(json.dumps({"id": 1, "subscribe": CHANNEL}))
    expect(json.loads(socket.recv(timeout=PATIENCE))["subscribed"]["channel"], CHANNEL, "the subscription")
    expect(len(TEXTS) >= 9, True, "texts that fit")
    for text in TEXTS:
        socket.send(publish(text))
    expect(pushes(socket, len(TEXTS)), [data_of(text) for text in TEXTS], "publications")
    # A list of strings is one message in as many fragments.
    whole = publish(TEXTS[7])
    socket.send([whole[at : at + 5] for at in range(0, len(whole), 5)])
    expect(pushes(socket, 1), [data_of(TEXTS[7])], "a publication in fragments")
    expect(socket.ping("are you there?").wait(PATIENCE), True, "a pong with the same payload")
    socket.close(4123, "enough")
    expect(socket.close_code, 4123, "the answer to the close")

with connect(URL, open_timeout=PATIENCE, close_timeout=PATIENCE, ping_timeout=PATIENCE) as socket:
    socket.send(b"{}")
    expect(close_code(socket), 1003, "binary")
with connect(URL, open_timeout=PATIENCE, close_timeout=PATIENCE, ping_timeout=PATIENCE) as socket:
    socket.send("x" * (2 * LARGEST))
    expect(close_code(socket), 1009, "too long")
