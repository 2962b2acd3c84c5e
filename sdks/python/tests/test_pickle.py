"""Errors and records go to other processes and back: ProcessPoolExecutor and multiprocessing pickle them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import cometql
import pytest
from cometql import errors, listening, records
from samples import ERRORS, RECORDS, fields

@pytest.mark.parametrize("value", [*ERRORS, *RECORDS], ids=lambda value: type(value).__name__)
def test_what_is_pickled_comes_back(value: Any) -> None:
    for other in [copy.copy(value), *(pickle.loads(pickle.dumps(value, protocol)) for protocol in range(2, 6))]:
        assert type(other) is type(value)
        assert fields(other) == fields(value)


def test_all_are_tried() -> None:
    tried = {type(value) for value in (*ERRORS, *RECORDS)}
    ours = {kind for name in cometql.__all__ if isinstance(kind := getattr(cometql, name), type)}
    objects = {cometql.AsyncClient, cometql.AsyncSubscription, cometql.Client, cometql.Subscription, cometql.CometError}
    library = {*records.FROM_LIBRARY.values(), *listening.FROM_LIBRARY.values(), *listening.EVENTS.values(), *errors.FROM_LIBRARY}
    assert (ours | library) - objects - tried == set()
