from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from io import BytesIO
from threading import Thread

import pytest

from threatshare.share.errors import Refused
from threatshare.share.uploads import TimelyBody, Uploads


def test_accounts_that_hold_many_slots_leave_some_to_others() -> None:
    """However many slots three accounts ask for, a fourth gets some, and is refused where it wants many, too."""
    uploads = Uploads(most=30, most_of_account=10, kept=10)
    with ExitStack() as held:
        taken = {name: _take(uploads, name, held) for name in ("a", "b", "c", "d")}
        assert taken["a"] == taken["b"] == 10
        assert taken["c"] == taken["d"] == 4
        assert _take(uploads, "e", held) == 2
    with ExitStack() as held:
        assert _take(uploads, "c", held) == 10


def _take(uploads: Uploads, account: str, held: ExitStack) -> int:
    for taken in range(100):
        try:
            held.enter_context(uploads.slot(account))
        except Refused:
            return taken
    pytest.fail("nothing is ever refused")


def test_a_body_that_trickles_is_ended() -> None:
    """A body that comes little by little is refused with 408 once its time is over, however long it goes on."""
    sending, receiving = socket.socketpair()

    def trickle() -> None:
        with suppress(OSError), sending:
            for _ in range(100):
                sending.sendall(b"x" * 1_000)
                time.sleep(0.05)

    sender = Thread(target=trickle)
    sender.start()
    with receiving, receiving.makefile("rb") as source:
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            TimelyBody(source, seconds=0.3).read()
        assert time.monotonic() - began < 2
    sender.join()
    assert refused.value.status == 408


@pytest.mark.parametrize("size", [-1, 1, 255, 256, 257, 70_000])
def test_a_body_that_comes_in_time_is_read_whole(size: int) -> None:
    """However much is asked for at once, the bytes are those that were sent."""
    sent = bytes(range(256)) * 30
    body, parts = TimelyBody(BytesIO(sent)), []
    while part := body.read(size):
        assert size < 0 or len(part) <= size
        parts.append(part)
    assert b"".join(parts) == sent
