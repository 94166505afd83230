"""The checks that a profile can name: a closed table of small functions, each with the parameters that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from threatshare.policy import profile_contents as contents
from threatshare.policy import profile_identity as identity
from threatshare.policy.profile_bundles import Bundle, NodeFacts, Record, RecordKind, Spot, Unchecked

Asked = Literal["objects", "identities", "files"]


class RecordTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """The dated records that have to be in force."""

    records: tuple[RecordKind, ...]
    """``agreement``, ``legal-basis``, ``certificate``: at least one of each covers today."""
    certificate_days: Annotated[int, Meta(ge=0)] = 14
    """Days that a certificate has to be good for yet."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    says: str
    """What it wants, for people."""
    parameters: type[Struct]
    """The shape of its parameters in a profile."""
    run: Callable[[Bundle, Any, NodeFacts], Iterator[Spot | Unchecked]]
    """Yields what it found; parameters are of the type above."""
    asked_of: Asked = "objects"
    """``objects``: each is judged by itself, so it can be asked of one alone; ``identities``: of our Identity alone
    too; ``files``: only of all objects together."""


def records_in_force(_bundle: Bundle, terms: RecordTerms, facts: NodeFacts) -> Iterator[Spot | Unchecked]:
    """Wants a dated record of each kind that covers today; nothing is assumed where none was given."""
    for kind in terms.records:
        given = facts.records.get(kind)
        if given is None or facts.today is None:
            yield Unchecked(f"{kind}: no dated record was given")
            continue
        last = facts.today + timedelta(days=terms.certificate_days if kind == "certificate" else 0)
        if not any((one.begins is None or one.begins <= facts.today) and _reaches(one, last) for one in given):
            ends = f" until {last}" if kind == "certificate" else " today"
            yield Spot(None, "", f"no {kind} on record is in force{ends}", f"record the {kind} with its dates")


def _reaches(record: Record, last: date) -> bool:
    return record.ends is None or record.ends >= last


def statuses_kept(_bundle: Bundle, _terms: identity.NoParameters, _facts: NodeFacts) -> Iterator[Unchecked]:
    """Says that what a server answers cannot be seen in a file."""
    yield Unchecked("what the server answers is a matter of the push, and not checkable in a file")


CHECKS: Mapping[str, Check] = {
    "one-submitter-identity": Check(
        "exactly one Identity submits, and every object names it as its creator",
        identity.NoParameters,
        identity.one_submitter,
        "files",
    ),
    "identity-complete": Check(
        "the submitter is an organisation with a name, STIX sectors and one consent label",
        identity.IdentityTerms,
        identity.identity_complete,
        "identities",
    ),
    "label-only-with": Check("a word stands in no label but one", identity.LabelTerms, identity.label_only_with),
    "location-of-identity": Check(
        "the submitter is located at a place with ISO 3166-1 country and ISO 3166-2 area",
        identity.NoParameters,
        identity.location_of_identity,
        "files",
    ),
    "tlp-within": Check("every object is marked, with allowed TLP labels only", contents.TlpTerms, contents.tlp_within),
    "properties-allowed": Check(
        "only listed types, properties and extensions, nothing custom",
        contents.PropertyTerms,
        contents.properties_allowed,
    ),
    "properties-required": Check(
        "each type has the properties that it must have", contents.RequiredTerms, contents.properties_required
    ),
    "one-comparison": Check(
        "every indicator's pattern is one comparison with one value", identity.NoParameters, contents.one_comparison
    ),
    "no-own-assets": Check(
        "nothing of ours and nothing internal, as a value or in a text",
        contents.DetectorTerms,
        contents.no_own_assets,
    ),
    "no-personal-data": Check("nobody's private data in any string", contents.DetectorTerms, contents.no_personal_data),
    "legal-basis-in-force": Check(
        "dated records of what allows the exchange cover today", RecordTerms, records_in_force
    ),
    "identity-not-leaked": Check(
        "a submitter who did not consent is named nowhere that is passed on",
        identity.LeakTerms,
        identity.identity_not_leaked,
    ),
    "statuses-kept": Check(
        "every status that a server answers is followed to its end, and failures are kept",
        identity.NoParameters,
        statuses_kept,
        "files",
    ),
}
