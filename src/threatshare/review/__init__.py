"""What is held, and what people decide about it: select -> decide -> carry out, in one transaction.

Two things are held: values whose role no rule could tell, and objects that a rule of the gate holds for a
collection. Both are shown in groups, so that one decision answers many; every decision keeps name, time and reason.
"""

from __future__ import annotations

from threatshare.review.choice import Chosen, choose
from threatshare.review.decided import decide_releases, decide_roles, end_standing
from threatshare.review.held import GROUPINGS, GateGroup, Group, gate_groups, groups, select, waiting_for_second
from threatshare.review.kept_lists import keep_as_own, keep_unshared

__all__ = [
    "GROUPINGS",
    "Chosen",
    "GateGroup",
    "Group",
    "choose",
    "decide_releases",
    "decide_roles",
    "end_standing",
    "gate_groups",
    "groups",
    "keep_as_own",
    "keep_unshared",
    "select",
    "waiting_for_second",
]
