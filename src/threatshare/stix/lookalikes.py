"""Texts as people read them: letters that look alike, dressed-up and invisible characters count as what they look like.

The tables hold letters of other scripts, small capitals and signs that pass for Latin letters in ordinary fonts: a part
of Unicode's confusables (UTS 39), folded to small letters, and a few that pass in capitals or in italics only.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_SMALL = "aаα bвьβ cсϲᴄ dԁ eеєεᴇⱸҽ hнһհ iіιӏıɪ jј kкκ mм nпηո oоοօ pрρ qԛ rгʀᴦ sѕꜱ tтτ uυμս vѵν wԝ xхχҳ×╳ yу zζ"
"""Latin letters, each before the small letters that are read as it."""
_CAPITAL = "hη lӏ mμ nν yυ"
"""Those before letters whose capitals are read as another letter than they are."""
_UNSEEN = frozenset({"Cf", "Cc", "Mn", "Me"})


def _readings(table: str) -> dict[int, str]:
    return {ord(one): row[0] for row in table.split() for one in row[1:]}


AS_SMALL = _readings(_SMALL)
"""A small letter's code point -> the Latin letter as which it is read."""
AS_CAPITAL = AS_SMALL | _readings(_CAPITAL)
"""The same, for texts that may have been folded from capitals."""


@lru_cache(maxsize=4_096)
def as_read(text: str) -> str:
    """Gives a text in small letters as it is read: what looks alike is the same, what nobody sees is not there.

    Compatibility forms (full-width, circled, mathematical) fold by NFKD.
    """
    # Before NFKD too, which makes of some look-alikes a letter that is none.
    plain = unicodedata.normalize("NFKD", text.casefold().translate(AS_SMALL))
    seen = "".join(one for one in plain if unicodedata.category(one) not in _UNSEEN or one in "\t\n\r")
    return seen.casefold().translate(AS_SMALL)


def letters(text: str) -> str:
    """Gives the letters and digits of a text as they are read, in one run."""
    return "".join(one for one in as_read(text) if one.isalnum())
