"""What GuardDuty and Security Hub share: how AWS wraps its findings, spells its keys, and describes an action.

One finding stands alone (S3 export), in ``{"Findings": [...]}`` (CLI and SDK) or in an EventBridge event under
``detail``; the API spells keys ``IpAddressV4``, events and exports spell them ``ipAddressV4``. An action says which
end of it is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from threatshare.findings.documents import Doc, inner, inners, text, texts
from threatshare.findings.events import Proposal
from threatshare.findings.roles import Ruling
from threatshare.model import Kind, Role

MEMBERS = frozenset({"Findings", "findings"})
"""Names of the arrays that the API wraps findings in."""

RESOURCE = Ruling(Role.VICTIM_ASSET, "the resource that the finding is about")


# --- the ways in ----------------------------------------------------------------------------------------------


def is_event(head: bytes, detail_types: Collection[str]) -> bool:
    """Tells an EventBridge event that is too long for the head, or comes after events of other types, by its type."""
    return any(re.search(rb'"detail-type"\s*:\s*"%s"' % re.escape(one.encode()), head) for one in detail_types)


def unwrapped(record: Doc, detail_types: Collection[str]) -> Iterator[Doc]:
    """Yields the findings of one record with keys in camel case; EventBridge events of other types hold none."""
    if "detail-type" in record:
        if text(record, "detail-type") in detail_types:
            yield from unwrapped(inner(record, "detail"), detail_types)
        return
    listed = next((record[name] for name in MEMBERS if isinstance(record.get(name), list)), None)
    for one in (record,) if listed is None else listed:
        if isinstance(one, dict):
            # GuardDuty's exports and events are spelled so already, and most of its findings come by those.
            yield one if "type" in one else camel_case(one)


def camel_case(doc: Doc) -> Doc:
    """Gives a document with the first letter of every key in lower case, at every depth (records are 64 deep)."""
    return {key[:1].lower() + key[1:]: _camel_case(value) for key, value in doc.items()}


def _camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return camel_case(value)
    return [_camel_case(one) for one in value] if isinstance(value, list) else value


def is_true(value: object) -> bool:
    """Tells whether a flag is set: Security Hub writes it as text."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


# --- actions --------------------------------------------------------------------------------------------------


class Way(Enum):
    """How the other end of an action came into it."""

    CAME_IN = "came in"
    WENT_OUT = "went out"
    ASKED = "asked"
    """A name that our resource looked up."""
    CALLED = "called"
    """It called an interface of ours: an intruder, or one of us."""
    UNKNOWN = "unknown"


class Remote(NamedTuple):
    """The other end of an action: an address, or the name that was asked for."""

    value: str
    way: Way

    def proposed(self, ruling: Ruling) -> Proposal:
        """Proposes it in a part."""
        return Proposal(Kind.DOMAIN, self.value, ruling) if self.way is Way.ASKED else address(self.value, ruling)


_DIRECTIONS: Mapping[str, Way] = {
    "INBOUND": Way.CAME_IN,
    "IN": Way.CAME_IN,
    "OUTBOUND": Way.WENT_OUT,
    "OUT": Way.WENT_OUT,
}
"""``connectionDirection`` (GuardDuty; it also says UNKNOWN) and ``Network.Direction`` (ASFF)."""

_CALLS = ("awsApiCallAction", "kubernetesApiCallAction", "rdsLoginAttemptAction")


def direction(doc: Doc, key: str) -> Way:
    """Reads the direction of a connection."""
    return _DIRECTIONS.get(text(doc, key).upper(), Way.UNKNOWN)


def remotes(action: Doc) -> Iterator[Remote]:
    """Yields the other ends of an action (GuardDuty ``service.action``, ASFF ``Action``; the same names in both).

    A caller from an account that AWS knows as ours (``remoteAccountDetails.affiliated``) is left out.
    """
    network = inner(action, "networkConnectionAction")
    for remote in _addresses(inner(network, "remoteIpDetails")):
        yield Remote(remote, direction(network, "connectionDirection"))
    for probe in inners(action, "portProbeAction", "portProbeDetails"):
        for remote in _addresses(inner(probe, "remoteIpDetails")):
            yield Remote(remote, Way.CAME_IN)
    yield Remote(text(action, "dnsRequestAction", "domain"), Way.ASKED)
    for name in _CALLS:
        call = inner(action, name)
        if not is_true(inner(call, "remoteAccountDetails").get("affiliated")):
            for remote in _addresses(inner(call, "remoteIpDetails")):
                yield Remote(remote, Way.CALLED)


def address(said: str, ruling: Ruling) -> Proposal:
    """Proposes what stands in a field for addresses; anything else in it is no value."""
    return Proposal(Kind.IPV6 if ":" in said else Kind.IPV4, said, ruling)


def local_ends(action: Doc) -> Iterator[Proposal]:
    """Yields our ends of an action."""
    network = inner(action, "networkConnectionAction")
    for end in (network, *inners(action, "portProbeAction", "portProbeDetails")):
        for one in _addresses(inner(end, "localIpDetails")):
            yield address(one, RESOURCE)


def _addresses(details: Doc) -> list[str]:
    return [one for key in ("ipAddressV4", "ipAddressV6") for one in texts(details, key)]
