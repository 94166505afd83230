"""Texts as people read them: letters that look alike, dressed-up and invisible characters count as what they look like.

The table holds the Cyrillic, Greek and Armenian letters that pass for Latin ones in ordinary fonts, small and in one
word (a part of Unicode's confusables, UTS 39); compatibility forms (full-width, circled, mathematical) fold by NFKD.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_ALIKE = str.maketrans(
    dict(
        zip(
            "аеорсухіјѕһԁԛԝвкмнтг" + "αεικνορτυχϲ" + "օոսհ",
            "aeopcyxijshdqwbkmhtr" + "aeikvoptuxc" + "onuh",
            strict=True,
        )
    )
)
_UNSEEN = frozenset({"Cf", "Cc", "Mn", "Me"})


@lru_cache(maxsize=4_096)
def as_read(text: str) -> str:
    """Gives a text in small letters as it is read: what looks alike is the same, what nobody sees is not there."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    seen = "".join(one for one in plain if unicodedata.category(one) not in _UNSEEN or one in "\t\n\r")
    return seen.casefold().translate(_ALIKE)


def letters(text: str) -> str:
    """Gives the letters and digits of a text as they are read, in one run."""
    return "".join(one for one in as_read(text) if one.isalnum())
