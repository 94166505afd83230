"""The gate's rule ``anonymity``: nothing that reaches an audience which is not told who we are leads back to us.

It has the form of ``policy.rules``. What the transform of ``policy.disguise`` does is looked at here once more, in what
came out: our public ids anywhere, and our names and domains in every reading of every text. A domain of ours in
somebody else's value, which elsewhere a person may let go, stays here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from threatshare.model import CollectionKind, Reason, Verdict
from threatshare.policy.candidates import Audience, Candidate, Facts
from threatshare.policy.decoding import views
from threatshare.policy.disguise import Disguise, wants_disguise
from threatshare.policy.privacy import strings
from threatshare.policy.report_rules import REPORTS
from threatshare.stix.lookalikes import as_read, letters

Reasons = tuple[Reason, ...]

ANONYMITY = "anonymity"
_SHORTEST = 6
"""Letters of a name that are no chance where they stand in one run within a value."""

_write = msgspec.json.Encoder().encode
_DOT = re.compile(r"\s{0,3}[\[({<]?\s{0,3}(?:\.|(?<=[\s\[({<])dot(?=[\s\])}>]))\s{0,3}[\])}>]?\s{0,3}")
"""A dot, dressed up."""

_NAMED = (Reason(ANONYMITY, Verdict.RELEASE, "may be told who we are"),)
_HIDDEN = (Reason(ANONYMITY, Verdict.RELEASE, "says nothing that leads back to us"),)
_NO_DISGUISE = (
    Reason(
        ANONYMITY,
        Verdict.REFUSE,
        "the agreement wants us not to be named (outbound.attribution, outbound.consent), and there is nobody whom we"
        " could appear as: is our own name in outbound.anonymise_as?",
    ),
)


def anonymity(candidate: Candidate, audience: Audience, facts: Facts) -> Reasons:
    """Lets nothing lead back to us where the agreement wants us not to be named."""
    agreement = audience.agreement
    if audience.kind is not CollectionKind.PARTNER or agreement is None or not wants_disguise(agreement.outbound):
        return _NAMED
    if audience.disguise is None:
        return _NO_DISGUISE
    reasons = [Reason(ANONYMITY, verdict, text) for verdict, text in _traces(candidate, audience.disguise, facts)]
    return tuple(dict.fromkeys(reasons)) or _HIDDEN


def _traces(candidate: Candidate, disguise: Disguise, facts: Facts) -> Iterator[tuple[Verdict, str]]:
    if disguise.hides.rpartition("--")[2] in _write(candidate.content).decode().lower():
        yield Verdict.REFUSE, "bears the id of our own Identity"
    if candidate.type == "identity" and candidate.content.get("name") != disguise.name:
        yield Verdict.REFUSE, "is not named as the agreement wants (outbound.anonymise_as)"
    names = tuple(as_read(name) for name in (disguise.hidden_name, *facts.own.organisations))
    domains = (*facts.own.domains, *facts.own.mail_domains, *facts.own.mail_servers)
    for where, text in strings(candidate):
        for reading in views(text)[0]:
            said = as_read(reading)
            if any(one in said or _is_spelt_out(one, said) for one in domains):
                yield Verdict.REFUSE, f"{where} names a domain of ours, which leads back to us"
            elif any(_stands_in(name, said) for name in names):
                yield Verdict.REFUSE, f"{where} names us"
            elif any(_runs_through(name, said) for name in names):
                if candidate.type in REPORTS:
                    # What people wrote says it on purpose, however it is spelt.
                    yield Verdict.REFUSE, f"{where} names us"
                    continue
                yield (
                    Verdict.HOLD,
                    f"{where} has our name within a word; held: a person who releases {ANONYMITY} by name, lets it go",
                )


def _stands_in(name: str, text: str) -> bool:
    return name in text and _word(name).search(text) is not None


@lru_cache(maxsize=256)
def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def _runs_through(name: str, text: str) -> bool:
    run = letters(name)
    return len(run) >= _SHORTEST and run in letters(text)


def _is_spelt_out(domain: str, text: str) -> bool:
    """Tells whether a domain stands in a text with its dots written as analysts do: ``[.]``, `` dot ``, `` . ``."""
    if len(domain) < _SHORTEST or domain.rpartition(".")[0].rpartition(".")[2] not in text:
        return False
    return domain in _DOT.sub(".", text)
