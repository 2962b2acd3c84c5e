"""HAProxy's `option mysql-check` in its usual forms, and statements through the balancer."""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import pymysql

from common import CASES, CHANNEL, HOST, INSERT, LOGIN, PORT, SELECT, SETTINGS, expect_rows, finish

CHECKS = {"user": "user haproxy_check", "post": "user haproxy_check post-41", "bare": ""}
PATIENCE = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configuration(folder, port):
    backends = "".join(
        f"backend {name}\n  mode tcp\n  option mysql-check {check}\n  server node {HOST}:{PORT} check inter 200\n"
        for name, check in CHECKS.items()
    )
    return (
        f"global\n  stats socket {folder}/stats\n"
        # Without a time of its own, a check that is answered later than the next one is due has failed.
        f"defaults\n  mode tcp\n  timeout check {PATIENCE}s\n  timeout connect {PATIENCE}s\n"
        f"  timeout client {PATIENCE}s\n  timeout server {PATIENCE}s\n"
        f"frontend front\n  bind 127.0.0.1:{port}\n  default_backend user\n{backends}"
    )


def statuses(folder):
    """Backend name to the state of its server; a state that is still being found out is left out."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{folder}/stats")
        connection.sendall(b"show stat\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    # Columns 17 and 36 are status and check_status; INI = not checked yet, with a star while the next check runs.
    found = {row[0]: (row[17], row[36].removeprefix("* ")) for row in rows if row[1] == "node"}
    return {name: state for name, state in found.items() if state[1] not in ("INI", "")}


def wait_until_checked(folder, child):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and child.poll() is None:
        try:
            found = statuses(folder)
        except OSError:
            found = {}
        if len(found) == len(CHECKS):
            return found
        time.sleep(0.05)
    sys.exit("HAProxy did not check all backends in time")


# The configuration that the operator's page shows is one that HAProxy takes.
page = pathlib.Path(os.environ["COMETQL_README"]).parent / "docs-site/operating/running.md"
shown = page.read_text(encoding="utf-8").split("```haproxy\n")[1].split("```")[0]
subprocess.run(["haproxy", "-c", "-q", "-f", "/dev/stdin"], input=shown.encode(), check=True)

with tempfile.TemporaryDirectory() as folder:
    port = free_port()
    file = pathlib.Path(folder, "haproxy.cfg")
    file.write_text(configuration(folder, port))
    child = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(file)])
    try:
        for name, (status, check) in wait_until_checked(folder, child).items():
            if status != "UP":
                sys.exit(f"the {name} check says {status} ({check})")
        connection = pymysql.connect(**dict(LOGIN, port=port, charset="utf8mb4", autocommit=True))
        with connection.cursor() as cursor:
            cursor.execute(SETTINGS, (CHANNEL,))
            for case in CASES:
                cursor.execute(INSERT, (CHANNEL, "text", case))
            cursor.execute(SELECT, (CHANNEL,))
            expect_rows(cursor.fetchall(), ["text"])
        connection.close()
    finally:
        child.terminate()
        child.wait(PATIENCE)
finish(["text"])
