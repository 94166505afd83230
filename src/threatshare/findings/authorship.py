"""Who made what a file of intelligence says: ours may be asserted as ours, and what is others' goes on only if public.

MISP events, STIX objects and OpenIOC files name their creator. Read as findings they would leave under our name: that
is laundering, unless their creator marked them for everybody or for the community. What names nobody is not ours.
"""

from __future__ import annotations

from threatshare.config import OwnAssets
from threatshare.findings.roles import Ruling
from threatshare.model import Marking, Role, Tlp

UNREADABLE = Ruling(Role.UNKNOWN, "bears a marking that this node cannot read; who knows it can decide; held")
OTHERS = Ruling(
    Role.UNKNOWN,
    "made by another organisation and not marked TLP:CLEAR or TLP:GREEN: pull it as a feed (threatshare feed add), "
    "name its creator's id (its name, where the file gives no id) in own-assets.toml (organisations) if that is us, or "
    "let a person decide; held",
)
UNNAMED = Ruling(
    Role.UNKNOWN,
    "names nobody who made it and is not marked TLP:CLEAR or TLP:GREEN: if the file is ours, name its creator in it "
    "and in own-assets.toml (organisations), or mark it; if not, pull it as a feed (threatshare feed add); or let a "
    "person decide; held",
)


def held_for_author(creator: str, marking: Marking, own: OwnAssets) -> Ruling | None:
    """Tells why values cannot be asserted as ours although their file calls them bad; None where they can.

    ``creator``: what tells who made it: the id that the file gives, else the name, because names are public and anybody
    can write ours; empty where it gives neither.
    """
    if marking.unknown:
        return UNREADABLE
    if marking.tlp in (Tlp.CLEAR, Tlp.GREEN) or (creator and own.is_us(creator)):
        return None
    return OTHERS if creator else UNNAMED
