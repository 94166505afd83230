"""Which holds two persons have to lift, and what an approval of a hold is bound to.

One person lifts what a rule of the agreement holds. What is held because it may be somebody's private data, or is free
text, two different persons lift: what has left cannot be called back from those who have read it.
"""

from __future__ import annotations

from hashlib import sha256

from threatshare.model import Reason

_PRIVATE = "privacy"
_FREE_TEXT = "report-text"


def needs_two(rule: str) -> bool:
    """Tells whether a rule's hold is lifted only by two persons: privacy's, detector by detector, and of free text."""
    return any(rule == family or rule.startswith(f"{family}-") for family in (_PRIVATE, _FREE_TEXT))


def approval_key(reason: Reason) -> str:
    """Gives what an approval of a hold names: its rule, and for private data also what was found, and where.

    A new version in which the same thing is found at the same place stays approved; anything else found is held anew.
    The reason tells what was found by a keyed hash; the rule of free text bears a digest of the version already.
    """
    if reason.rule == _PRIVATE or reason.rule.startswith(f"{_PRIVATE}-"):
        return f"{reason.rule} {sha256(reason.text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    return reason.rule
