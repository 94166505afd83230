"""Decay: the published curves, to the published figures."""

from __future__ import annotations

import pytest

from threatshare.model import Kind
from threatshare.triage.decay import CURVES, DAY, Curve, decay, lifetime

NIDS = Curve(120 * DAY, 2)
PHISHING = Curve(3 * DAY, 2.3)


@pytest.mark.parametrize(
    ("days", "score"),
    [(0, 80), (1, 72.7), (7, 60.7), (14, 52.7), (30, 40.0), (60, 23.4), (90, 10.7), (120, 0)],
)
def test_nids_vectors(days: int, score: float) -> None:
    """MISP's NIDS model from a base of 80 gives MISP's own figures."""
    assert round(80 * NIDS.factor(days * DAY), 1) == score


@pytest.mark.parametrize(("curve", "days"), [(NIDS, 46.9), (PHISHING, 1.02)])
def test_misp_thresholds(curve: Curve, days: float) -> None:
    """MISP's models fall from 80 to their threshold of 30 when MISP says so."""
    assert curve.age_at(30 / 80) / DAY == pytest.approx(days, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "to_80", "to_50", "to_20"),
    [
        (Kind.IPV4, 3.3, 15.0, 32.5),
        (Kind.IPV6, 3.3, 15.0, 32.5),
        (Kind.URL, 3.3, 15.0, 32.5),
        (Kind.DOMAIN, 10.2, 70, 187.8),
        (Kind.SHA256, 108, 246, 376),
        (Kind.MD5, 108, 246, 376),
        (Kind.EMAIL, 86.7, 227, 371.8),
        (Kind.MAC, 86.7, 227, 371.8),
        (Kind.PATTERN, 86.7, 227, 371.8),
    ],
)
def test_opencti_rules(kind: Kind, to_80: float, to_50: float, to_20: float) -> None:
    """OpenCTI's decay rules fall from 100 to 80, 50 and 20 on the published days."""
    ages = [lifetime(kind, floor) / DAY for floor in (0.8, 0.5, 0.2)]
    assert ages == pytest.approx([to_80, to_50, to_20], rel=0.01)


def test_lifetime_is_the_age_of_the_floor() -> None:
    """An indicator whose validity ends at its lifetime is worth a fifth of its first weight then."""
    for kind in Kind:
        assert decay(kind, lifetime(kind)) == pytest.approx(0.2)


def test_every_kind_has_a_curve() -> None:
    """No kind of observable is left without a decay curve."""
    assert set(CURVES) == set(Kind)


@pytest.mark.parametrize("kind", list(Kind))
def test_ends_of_the_curve(kind: Kind) -> None:
    """Nothing is lost at once or before, and nothing is left from tau on."""
    tau = CURVES[kind].tau
    assert decay(kind, 0) == decay(kind, -DAY) == 1.0
    assert decay(kind, tau - 1) > 0 == decay(kind, tau) == decay(kind, 10 * tau)
