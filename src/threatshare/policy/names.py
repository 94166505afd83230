"""Names of people that look alike count as one, so that nobody becomes a second person by the way a name is typed."""

from __future__ import annotations

from unicodedata import normalize

_CYRILLIC = ("авекмнорстухіјѕһԁԛԝѵӏьпг", "abekmhopctyxijshdqwvlbnr")
_GREEK = ("αβεζηικμνορτυχ", "abezhikmnoptyx")
_DIGITS = ("01", "ol")
_UNSEEN = dict.fromkeys(map(ord, "\u115f\u1160\u3164\uffa0"))
"""Letters of Hangul that show nothing, the only invisible ones that a name could hold."""
_ALIKE = {
    ord(seen): meant for like, plain in (_CYRILLIC, _GREEK, _DIGITS) for seen, meant in zip(like, plain, strict=True)
}
"""Letters of Cyrillic and Greek whose small or capital form looks like a Latin letter, and the digits 0 and 1."""


def likeness(name: str) -> str:
    """Gives what is compared of a name: compatibility forms, case, blanks and letters that look alike make one.

    NFKC folds full-width letters and the like. What is no look-alike by the small table here stays another name.
    """
    folded = normalize("NFKC", normalize("NFKC", name).casefold()).translate(_UNSEEN)
    return " ".join(folded.translate(_ALIKE).split())
