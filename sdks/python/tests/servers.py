"""Servers that tests start, kill and start again, on the ports that xtask found free."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from cometql import Client

KEY = "sdk-tests-only"
PATIENCE = 60.0

_PORTS = [int(port) for port in os.environ["COMETQL_PORTS"].split(",")]
_free = [tuple(_PORTS[first : first + 3]) for first in range(0, len(_PORTS) - 2, 3)]
"""Ports of servers that may be started: two that live at the same time must not share any."""


class Server:
    """A server with a data directory of its own. It ends with the `with` block."""

    def __init__(self) -> None:
        self.mysql, self.http, self.admin = _free.pop()
        self._folder = tempfile.TemporaryDirectory(prefix="cometql-sdk-")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """As `Client.connect` takes it."""
        return f"127.0.0.1:{self.mysql}"

    @property
    def page(self) -> str:
        """The URL of the browser port."""
        return f"ws://127.0.0.1:{self.http}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()
        _free.append((self.mysql, self.http, self.admin))

    def start(self) -> None:
        """Returns when all its ports take connections."""
        folder = pathlib.Path(self._folder.name)
        with open(folder / "log", "ab") as log:
            self._child = subprocess.Popen(
                [os.environ["COMETQL_BINARY"], "serve", "--password", KEY]
                + ["--mysql", self.host, "--http", f"127.0.0.1:{self.http}", "--admin", f"127.0.0.1:{self.admin}"]
                + ["--data-dir", str(folder / "data")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + PATIENCE
        for port in (self.mysql, self.http, self.admin):
            while not _listens(port):
                if self._child.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the server did not start: {(folder / 'log').read_text()[-2000:]}")
                time.sleep(0.01)

    def kill(self) -> None:
        """As the power fails: it says goodbye to nobody."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(PATIENCE)
            self._child = None

    def stop(self) -> None:
        """As systemd stops it."""
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)
            self._child.wait(PATIENCE)
            self._child = None

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)
        # The signal stops one thread after the other: until all have stopped, some may still answer.
        os.waitid(os.P_PID, self._child.pid, os.WSTOPPED)

    def resume(self) -> None:
        """It answers again."""
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)


def keep(client: Client, channel: str) -> None:
    """Makes a channel durable: SELECT reads what was published there."""
    client.query("INSERT INTO pipes_settings (name, length) VALUES (?, 1000)", [channel])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
