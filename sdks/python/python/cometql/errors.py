"""Why a call did not succeed. The server's codes are stable; its documentation lists them."""

from __future__ import annotations

__all__ = [
    "AccessDenied",
    "Closed",
    "CometError",
    "Ended",
    "Interrupted",
    "Invalid",
    "Refused",
    "TimedOut",
    "Unreachable",
]


class CometError(Exception):
    """Every error of this package. Catch it, or those of its kinds that you can do something about."""


class _WithDetail(CometError):
    detail: str
    """What happened, for people."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class _WithCode(CometError):
    code: int
    """The server's code."""
    detail: str
    """The server's words, for people."""

    def __str__(self) -> str:
        return f"error {self.code}: {self.detail}"


class Refused(_WithCode):
    """The server refused the statement, for a reason that `code` tells. Nothing was done, but for statements of several rows,
    where `detail` says how many were carried out."""

    state: str
    """The SQLSTATE of MySQL, five characters."""

    def __init__(self, code: int, state: str, detail: str) -> None:
        super().__init__(code, state, detail)
        self.code = code
        self.state = state
        self.detail = detail


class AccessDenied(_WithCode):
    """The user, the password or the database was refused, or this log-in may not do that."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Unreachable(_WithDetail):
    """No host could be reached in time. Nothing was done."""


class TimedOut(_WithDetail, TimeoutError):
    """The time of the call was over. It may have taken effect."""


class Interrupted(_WithDetail):
    """The connection broke while the answer was awaited. The call may have taken effect."""


class Closed(CometError):
    """The client was closed, before the call or during it. A call that was under way may have taken effect."""

    def __init__(self) -> None:
        # What is given to the base is what unpickling calls this with.
        super().__init__()

    def __str__(self) -> str:
        return "the client is closed"


class Ended(CometError):
    """Listening has ended for good, and would end the same way again: the credentials were refused, have ended or were revoked, or
    the server let none of the channels in."""

    code: str
    """Why: a code of the browser protocol (`unauthorized`, `permission_denied`) or the word of a close code (`token_expired`,
    `revoked`, `killed`). Codes are stable."""
    detail: str
    """The same, for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class Invalid(_WithDetail, ValueError):
    """An argument is not valid. Nothing was sent."""


FROM_LIBRARY: tuple[type[CometError], ...] = (
    Refused,
    AccessDenied,
    Unreachable,
    TimedOut,
    Interrupted,
    Closed,
    Ended,
    Invalid,
)
"""What the library raises, as it names them."""
