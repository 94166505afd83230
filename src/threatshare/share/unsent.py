"""Large answers under way: sent in pieces as the client reads, and only so many bytes of them at once.

The server holds an answer that is one string until its last byte is taken, and a client that asks and never reads
makes it hold each anew. In pieces a connection holds one of them beside the page, which others may share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from threading import RLock
from typing import Any

from threatshare.share.access import ACCESS
from threatshare.share.bodies import TAXII
from threatshare.share.errors import error_body
from threatshare.share.negotiation import Environ, StartResponse, WsgiApp

_PIECE = 1024 * 1024
"""Bytes. An answer of no more is sent whole: the server would have taken its only piece before it could be counted."""
_MOST = 192 * 1024 * 1024
_MOST_OF_ACCOUNT = 48 * 1024 * 1024
_RETRY_SECONDS = 5


class Pieces:
    """An answer's body, cut as it is sent; it counts until it is sent, or the client gone."""

    def __init__(self, body: bytes, unsent: Unsent, account: str) -> None:
        self.size = len(body)
        self._rest: Iterator[bytes] = _cut(body)
        self._unsent = unsent
        self._account = account
        self._counted = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._rest)
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        """Counts no more."""
        if self._counted:
            self._counted, self._rest = False, iter(())
            self._unsent.sent(self._account, self.size)

    def __del__(self) -> None:
        self.close()


class Unsent:
    """Wraps the application of one worker and counts the bytes that it has not sent yet, by account."""

    def __init__(self, app: WsgiApp, most: int = _MOST, most_of_account: int = _MOST_OF_ACCOUNT) -> None:
        self._app = app
        self._most = most
        self._most_of_account = most_of_account
        self._waiting: Counter[str] = Counter()
        # Entered again where the end of one answer is noticed while another is counted.
        self._lock = RLock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves a request; 503 where too much waits to be read by this account, or by all."""
        began: list[Any] = []

        def begin(*line: Any) -> Any:
            began[:] = line

        answer = self._app(environ, begin)
        body = answer[0] if isinstance(answer, list) and len(answer) == 1 else _whole(answer)
        if len(body) <= _PIECE:
            start_response(*began)
            return [body]
        account = ACCESS.account or environ.get("REMOTE_ADDR", "")
        if self._counted(account, len(body)):
            start_response(*began)
            return Pieces(body, self, account)
        # What was refused stays among what the account was sent: that list may name too much, never too little.
        refusal = error_body(503, "Too many large answers wait to be read. Read them, or try again later.")
        headers = [("Content-Type", TAXII), ("Content-Length", str(len(refusal))), ("Retry-After", str(_RETRY_SECONDS))]
        start_response("503 Service Unavailable", headers)
        return [refusal]

    def waiting(self) -> int:
        """Gives the bytes of large answers under way."""
        with self._lock:
            return self._waiting.total()

    def sent(self, account: str, size: int) -> None:
        """Forgets an answer that is under way no more."""
        with self._lock:
            self._waiting[account] -= size
            if self._waiting[account] <= 0:
                del self._waiting[account]

    def _counted(self, account: str, size: int) -> bool:
        """Counts an answer; one of an account that reads what it was sent is never too large."""
        with self._lock:
            own = self._waiting[account]
            if own and (own + size > self._most_of_account or self._waiting.total() + size > self._most):
                return False
            self._waiting[account] += size
            return True


def _whole(answer: Iterable[bytes]) -> bytes:
    try:
        return b"".join(answer)
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()


def _cut(body: bytes) -> Iterator[bytes]:
    return (body[at : at + _PIECE] for at in range(0, len(body), _PIECE))
