"""The examples, each run as its user would, against real servers."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from cometql import Client, Listening, Publication
from servers import KEY, PATIENCE, Server

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
COMMENT = {"author": "Ada", "text": "first!"}


def environment(*servers: Server) -> dict[str, str]:
    return {**os.environ, "COMETQL_HOSTS": ",".join(server.host for server in servers), "COMETQL_KEY": KEY}


def next_publication(events: Iterator[object]) -> Publication:
    return next(event for event in events if isinstance(event, Publication))


def test_ten_lines_survive_the_death_of_a_server() -> None:
    with Server() as one, Server() as two:
        with Client.connect(two.host, "root", KEY) as client:
            events = client.subscribe(["web_news"], Listening(urls=[two.page]))
            child = subprocess.Popen(
                [sys.executable, str(EXAMPLES / "ten_lines.py")],
                env=environment(one, two),
                stdout=subprocess.PIPE,
                text=True,
            )
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(10)]
            one.kill()
            lines += child.stdout.readlines()
            assert child.wait(PATIENCE) == 0
            assert [line.split()[0] for line in lines] == [str(n) for n in range(60)]
            assert all(line.rstrip().endswith("online: []") for line in lines)
            seen = next_publication(events).json()["number"]
            while seen < 59:
                follows = next_publication(events).json()["number"]
                assert follows == seen + 1
                seen = follows


def test_a_view_of_django_reaches_a_subscriber(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMETQL_HOSTS", "COMETQL_KEY"):
        monkeypatch.setenv(name, environment(server)[name])
    spec = importlib.util.spec_from_file_location("django_view", EXAMPLES / "django_view.py")
    assert spec is not None and spec.loader is not None
    view = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "django_view", view)
    spec.loader.exec_module(view)
    from django.test import Client as Browser

    with Client.connect(server.host, "root", KEY) as client:
        events = client.subscribe(["web_comments"], Listening(urls=[server.page]))
        answer = Browser().post("/comments", COMMENT)
        assert answer.status_code == 200 and answer.json()["reached"] == 1
        publication = next_publication(events)
    assert publication.event == "comment" and publication.json() == COMMENT
    view.comet().close()


def test_an_app_of_fastapi_reaches_a_subscriber(server: Server) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", "0", "--app-dir", str(EXAMPLES)],
        env={**environment(server), "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr is not None
        address = next(found for line in child.stderr if (found := re.search(r"http://[\d.:]+", line)))
        with Client.connect(server.host, "root", KEY) as client:
            events = client.subscribe(["web_comments"], Listening(urls=[server.page]))
            answer = httpx.post(f"{address[0]}/comments", json=COMMENT, timeout=PATIENCE)
            assert answer.status_code == 200 and answer.json()["reached"] == 1
            publication = next_publication(events)
        assert publication.event == "comment" and publication.json() == COMMENT
    finally:
        child.terminate()
        child.communicate(timeout=PATIENCE)
