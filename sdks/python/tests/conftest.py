"""A server for all tests that don't harm it."""

from collections.abc import Iterator

import pytest
from cometql import Client
from servers import KEY, Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server() as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client.connect(server.host, "root", KEY) as connected:
        yield connected
