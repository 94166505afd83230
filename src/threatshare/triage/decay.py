"""How a claim loses weight with age, by the kind of its observable.

The curve is MISP's polynomial (MISP ``app/Model/DecayingModelsFormulas/Polynomial.php``;
A. Iklody, G. Wagener, A. Dulaunoy et al., arXiv:1803.11052)::

    score(t) = base * (1 - (t / tau) ** (1 / delta)), and 0 from tau on

The parameters are OpenCTI's published decay rules
(``opencti-graphql/src/modules/decayRule/decayRule-domain.ts``), which use the same curve with
delta = 3 * pound::

    rule                       tau     pound   falls from 100 to 20 after
    IP addresses and URLs      47 d    .55     32.5 d
    domains                    300 d   .7      187.8 d
    files                      460 d   .3      376 d
    everything else            470 d   .35     371.8 d
"""

from __future__ import annotations

from dataclasses import dataclass

from threatshare.model import Kind, Micros

DAY: Micros = 24 * 60 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class Curve:
    """One decay curve: the parameters of MISP's polynomial."""

    tau: Micros
    """The age at which nothing is left."""
    delta: float
    """Decay speed: above 1 the loss is steepest at first, below 1 at the end."""

    def factor(self, age: Micros) -> float:
        """Gives what is left of the first value at an age, from 1.0 down to 0.0.

        An age below zero, from a source whose clock runs ahead, counts as zero (OpenCTI's
        rule, not MISP's, under which such a claim would be worth nothing and later rise).
        """
        if age <= 0:
            return 1.0
        if age >= self.tau:
            return 0.0
        return float(1.0 - (age / self.tau) ** (1.0 / self.delta))

    def age_at(self, factor: float) -> Micros:
        """Gives the age at which the curve has fallen to a factor of 0.0 to 1.0."""
        return int(self.tau * (1.0 - factor) ** self.delta)


_ADDRESS = Curve(47 * DAY, 3 * 0.55)
_DOMAIN = Curve(300 * DAY, 3 * 0.7)
_FILE = Curve(460 * DAY, 3 * 0.3)
_OTHER = Curve(470 * DAY, 3 * 0.35)

CURVES: dict[Kind, Curve] = {
    Kind.IPV4: _ADDRESS,
    Kind.IPV6: _ADDRESS,
    Kind.URL: _ADDRESS,
    Kind.DOMAIN: _DOMAIN,
    Kind.MD5: _FILE,
    Kind.SHA1: _FILE,
    Kind.SHA256: _FILE,
    Kind.SHA512: _FILE,
    Kind.EMAIL: _OTHER,
    Kind.MAC: _OTHER,
    Kind.PATTERN: _OTHER,
}


def decay(kind: Kind, age: Micros) -> float:
    """Gives the share of a claim's weight that is left at an age, 0.0 to 1.0."""
    return CURVES[kind].factor(age)


def lifetime(kind: Kind, floor: float = 0.2) -> Micros:
    """Gives the age at which a claim has fallen to a floor; our own indicators end there (``valid_until``)."""
    return CURVES[kind].age_at(floor)
