"""What every test has: no way out of the machine, a clock that stands still, the samples where they are."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import loopback_only
from clocks import FixedClock

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SAMPLES = ROOT.parent / "shared" / "samples"
SHUT_IN = str(TESTS / "shut_in")

# Deadlines are off everywhere: a slow machine is no defect. Continuous integration repeats the same
# examples on every run; what the nightly run finds is added to the test as an example.
settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
settings.register_profile("nightly", deadline=None, max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])


def pytest_configure() -> None:
    """Chooses the hypothesis profile, and shuts this process and its children in."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))
    loopback_only.install()
    # A process of several has inherited what is wanted.
    inherited = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    if SHUT_IN not in inherited:
        os.environ["PYTHONPATH"] = os.pathsep.join([SHUT_IN, *inherited])


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """On one core the tests run in the one process that there is."""
    cores = yield
    return 0 if cores == 1 else cores


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still until the test moves it."""
    return FixedClock()


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port that refuses connections while the test runs: it is taken, so nobody gets it, and does not listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real findings and feeds beside the checkout; a test without it is skipped, visibly."""
    if not SAMPLES.is_dir():
        pytest.skip("needs the folder of samples at ../shared/samples, which this machine does not have")
    return SAMPLES
