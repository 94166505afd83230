from __future__ import annotations

from threatshare.share.throttle import Throttle

SECOND = 1_000_000


def fail(throttle: Throttle, times: int, now: int, account: str = "soc", address: str = "192.0.2.1") -> int:
    waits = [throttle.failed(address, account, now) for _ in range(times)]
    return waits[-1]


def test_one_account_from_one_address_is_stopped() -> None:
    """After ten failures the pair must wait until its minute is over; others need not."""
    throttle = Throttle()
    assert fail(throttle, 10, 0) == 0
    assert throttle.must_wait("192.0.2.1", "soc", 0) == 60
    assert throttle.must_wait("192.0.2.1", "soc", 45 * SECOND) == 15
    assert throttle.must_wait("192.0.2.1", "other", 0) == 0
    assert throttle.must_wait("192.0.2.2", "soc", 0) == 0
    assert throttle.must_wait("192.0.2.1", "soc", 60 * SECOND) == 0


def test_one_address_with_many_accounts_is_slowed_down() -> None:
    """An address that tries a hundred accounts is told to wait, but no account is shut out for it."""
    throttle = Throttle()
    for number in range(100):
        assert fail(throttle, 1, 0, f"account{number}") == 0
    assert fail(throttle, 1, 0, "one-more") == 60
    assert throttle.must_wait("192.0.2.1", "honest", 0) == 0


def test_a_clock_set_back_does_not_lock_out() -> None:
    """Failures that lie in the future after the clock was set back count no more."""
    throttle = Throttle()
    fail(throttle, 10, 3_600 * SECOND)
    assert throttle.must_wait("192.0.2.1", "soc", 0) == 0


def test_memory_is_bounded() -> None:
    """A flood of addresses forgets the oldest, it does not fill the memory."""
    throttle = Throttle()
    fail(throttle, 10, 0)
    for number in range(10_000):
        throttle.failed(f"address{number}", "x", 0)
    assert len(throttle._counts) == 10_000
    assert throttle.must_wait("192.0.2.1", "soc", 0) == 0
