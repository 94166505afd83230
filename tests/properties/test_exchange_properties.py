"""An exchange of three members against a model: what is posted is read by all, and changed by its owner alone."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from clocks import FixedClock
from taxii_node import TaxiiNode, indicator, stix_id
from threatshare.model import CollectionKind

HUB = "/trust/collections/hub/objects/"
members = st.sampled_from(["alpha", "beta", "gamma"])
numbers = st.integers(0, 3)
months = st.integers(1, 3)
extras = st.dictionaries(
    st.sampled_from(["x_one", "x_two", "labels"]),
    st.one_of(
        st.none(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text('aé🙂\\"', max_size=4),
    ).map(lambda value: [str(value)]),
    max_size=2,
)


class Exchange(RuleBasedStateMachine):
    """Members post, version, revoke and delete, each its own and each other's."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="threatshare-tests-"))
        self.node = TaxiiNode(self.folder, clock=FixedClock())
        self.owners: dict[str, str] = {}
        self.held: dict[tuple[str, str], dict[str, Any]] = {}
        """By id and modified, in the order of posting."""
        self.said: dict[tuple[str, str], dict[str, Any]] = {}
        """What was ever held: no deletion frees an id for another member, nor a version for other content."""

    @initialize()
    def set_up(self) -> None:
        self.node.collection("hub", CollectionKind.EXCHANGE, "trust")
        for name in ("alpha", "beta", "gamma"):
            self.node.account(name, read=["hub"], write=["hub"])

    def teardown(self) -> None:
        self.node.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    @rule(member=members, number=numbers, month=months, revoked=st.booleans(), more=extras)
    def post(self, member: str, number: int, month: int, revoked: bool, more: dict[str, Any]) -> None:
        """A version counts where it is the first, or its owner's and new; the same again is fine from anybody."""
        posted = indicator(number, f"2026-0{month}-01T00:00:00.000Z", revoked=revoked, **more)
        answer = self.node.request("POST", HUB, member, body={"objects": [posted]})
        assert answer.status == 202, answer
        key = (posted["id"], posted["modified"])
        same = self.held.get(key) == posted
        owner = self.owners.get(posted["id"], member)
        taken = owner == member and (key not in self.held or same) and self.said.get(key, posted) == posted
        if taken and not same:
            self.owners[posted["id"]] = member
            self.held[key] = self.said[key] = posted
        assert answer.json["success_count"] == int(taken or same), answer

    @rule(member=members, number=numbers, month=st.none() | months)
    def delete(self, member: str, number: int, month: int | None) -> None:
        """An owner deletes all versions or one; another member is forbidden, and nothing goes."""
        object_id = stix_id(number)
        version = f"2026-0{month}-01T00:00:00.000Z" if month else None
        named = [key for key in self.held if key[0] == object_id and version in (None, key[1])]
        query = {"match[version]": version} if version else {}
        answer = self.node.request("DELETE", f"{HUB}{object_id}/", member, query)
        if not named:
            assert answer.status == 404, answer
        elif self.owners[object_id] != member:
            assert answer.status == 403, answer
        else:
            assert answer.status == 200, answer
            for key in named:
                del self.held[key]

    @invariant()
    def everybody_reads_the_same(self) -> None:
        """Each member reads every version as it was posted, in order; by default the last of each object."""
        if not self.node.keys:
            return
        last = {one["id"]: one["modified"] for one in sorted(self.held.values(), key=lambda one: str(one["modified"]))}
        current = [one for one in self.held.values() if last[one["id"]] == one["modified"]]
        for member in ("alpha", "beta", "gamma"):
            assert self.node.get(HUB, member, {"match[version]": "all"}).objects == list(self.held.values())
            assert self.node.get(HUB, member).objects == current


Exchange.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestExchange = pytest.mark.filterwarnings("ignore::ResourceWarning")(Exchange.TestCase)
