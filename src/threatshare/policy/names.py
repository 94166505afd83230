"""Names of people that look alike count as one, so that nobody becomes a second person by the way a name is typed."""

from __future__ import annotations

from unicodedata import normalize

from threatshare.stix.lookalikes import AS_CAPITAL

_ALIKE = AS_CAPITAL | {ord("0"): "o", ord("1"): "l"}
"""Many write names in capitals, so a letter counts as what its capital is read as."""
_UNSEEN = dict.fromkeys(map(ord, "\u115f\u1160\u3164\uffa0"))
"""Letters of Hangul that show nothing, the only invisible ones that a name could hold."""


def likeness(name: str) -> str:
    """Gives what is compared of a name: compatibility forms, case, blanks and letters that look alike make one.

    NFKC folds full-width letters and the like. What is no look-alike by ``stix.lookalikes`` stays another name.
    """
    folded = normalize("NFKC", normalize("NFKC", name).casefold()).translate(_UNSEEN)
    return " ".join(folded.translate(_ALIKE).split())
