"""Who made what a file of intelligence says: ours may be asserted as ours, and what is others' goes on only if public.

MISP events and STIX bundles name their creator. Read as findings they would leave under our name: that is laundering,
unless their creator marked them for everybody or for the community.
"""

from __future__ import annotations

from threatshare.config import OwnAssets
from threatshare.findings.roles import Ruling
from threatshare.model import Marking, Role, Tlp

UNREADABLE = Ruling(Role.UNKNOWN, "bears a marking that this node cannot read; who knows it can decide; held")
OTHERS = Ruling(
    Role.UNKNOWN,
    "made by another organisation and not marked TLP:CLEAR or TLP:GREEN: pull it as a feed (threatshare feed add), "
    "name its creator in own-assets.toml (organisations) if that is us, or let a person decide; held",
)


def held_for_author(creator: str, marking: Marking, own: OwnAssets) -> Ruling | None:
    """Tells why values cannot be asserted as ours although their file calls them bad; None where they can.

    ``creator``: the name or STIX identity id that the file gives; empty where it names none, then it is our own export.
    """
    if marking.unknown:
        return UNREADABLE
    if not creator or own.is_us(creator):
        return None
    return None if marking.tlp in (Tlp.CLEAR, Tlp.GREEN) else OTHERS
