"""Builds what says who we are to one audience, and the disguise of who is not to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from threatshare.config import Identity
from threatshare.model import Tlp
from threatshare.policy.agreements import Agreement
from threatshare.policy.candidates import Audience, Facts, profile_for
from threatshare.policy.disguise import SINCE, Disguise, consent_of, disguise_for, wants_disguise
from threatshare.policy.profile_terms import Profile
from threatshare.stix import objects
from threatshare.stix.ais import Submitter, identity_set


def disguise_of(agreement: Agreement, node: Identity, secret: bytes) -> Disguise | None:
    """Gives who we are for a partner that is not told who we are; None where it is, or where that cannot be made.

    The gate lets nothing out then: see ``problems``.
    """
    if not wants_disguise(agreement.outbound):
        return None
    try:
        return disguise_for(agreement.partner, agreement.outbound, node.identity, node.name, secret)
    except ValueError:
        return None


def introduction(node: Identity, audience: Audience, facts: Facts) -> tuple[bytes, ...]:
    """Gives our Identity for an audience, and where its profile wants it Location and ``located-at``, as JSON text.

    Where the set cannot be made, the Identity alone: the profile then says what is missing, and nothing leaves.
    """
    profile, disguise = profile_for(audience, facts), audience.disguise
    who = _submitter(node)
    if disguise is not None:
        who = replace(who, identity=disguise.identity, name=disguise.name, created=SINCE)
    if profile is not None and profile.introduction == "identity-set" and audience.agreement is not None:
        try:
            return tuple(map(objects.written, identity_set(_with_terms(who, audience.agreement))))
        except ValueError:
            return (_identity(who, True),)
    return (_identity(who, disguise is None or profile is not None),)


def problems(agreement: Agreement, node: Identity, profiles: Mapping[str, Profile]) -> list[str]:
    """Says why nothing can leave under an agreement for what it wants to be told, or not told, of us; empty if it can.

    ``profiles`` are those that can be read.
    """
    outbound, found = agreement.outbound, []
    name = f"agreement with {agreement.partner}: nothing leaves"
    profile = profiles.get(outbound.profile) if outbound.profile is not None else None
    if outbound.profile is not None and profile is None:
        found.append(
            f"{name}: outbound.profile names {outbound.profile}, which does not exist or cannot be read; there are"
            f" {', '.join(sorted(profiles))}, and a site's own are profiles/NAME.toml"
        )
    try:
        if wants_disguise(outbound):
            disguise_for(agreement.partner, outbound, node.identity, node.name, b"")
        if profile is not None and profile.introduction == "identity-set":
            identity_set(_with_terms(_submitter(node), agreement))
    except ValueError as problem:
        found.append(f"{name}: {problem}")
    return found


def _with_terms(who: Submitter, agreement: Agreement) -> Submitter:
    consent = consent_of(agreement.outbound)
    if consent is None:
        raise ValueError("it says no outbound.consent, and the profile wants it as a label of our Identity")
    return replace(who, consent=consent, tlp=min(Tlp.AMBER, agreement.outbound.ceiling))


def _submitter(node: Identity) -> Submitter:
    return Submitter(node.identity, node.name, node.sector, node.country, node.administrative_area, node.created)


def _identity(who: Submitter, with_sector: bool) -> bytes:
    built = objects.identity(who.identity, who.name, who.sector, who.created)
    if not with_sector:
        # In a small community the sector alone may tell who it is.
        del built["sectors"]
    return objects.written(built)
