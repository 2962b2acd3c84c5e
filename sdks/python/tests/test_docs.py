"""What the pages of the documentation show is what runs."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import threading

import pytest
from cometql import Client
from servers import KEY, PATIENCE, Server

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLES = ROOT / "sdks/python/examples"


def blocks(page: str) -> list[str]:
    text = (ROOT / "docs-site/sdks" / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def is_shown_from_an_example(block: str) -> bool:
    """Then the example's test runs it."""
    return any(block in file.read_text(encoding="utf-8") for file in EXAMPLES.glob("*.py"))


def for_server(block: str, server: Server) -> str:
    block = block.replace("YOUR_KEY", KEY).replace("127.0.0.1:3307", server.host)
    return block.replace("ws://127.0.0.1:8087", server.page)


RUN = [block for page in ("README.md", "python.md") for block in blocks(page) if not is_shown_from_an_example(block)]


def test_the_pages_show_what_they_should() -> None:
    assert len(RUN) == 5 and len(blocks("python.md")) == 6


@pytest.mark.parametrize("block", RUN, ids=[str(at) for at in range(len(RUN))])
def test_examples_of_the_pages_run(block: str, server: Server) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", for_server(block, server)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()


def test_the_listener_of_the_page_runs(server: Server, client: Client) -> None:
    (block,) = blocks("listening.md")
    child = subprocess.Popen(
        [sys.executable, "-u", "-c", for_server(block, server)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        stop = threading.Event()

        def publish() -> None:
            # Whether it listens already is told by what it prints.
            while not stop.wait(0.05):
                client.publish("web_orders", "an order", event="new")

        thread = threading.Thread(target=publish)
        thread.start()
        assert child.stdout.readline() == "new an order\n"
        stop.set()
        thread.join()
    finally:
        child.kill()
        child.wait(PATIENCE)
        child.stdout.close()
