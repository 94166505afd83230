"""Ways out to partners with a profile, or who are not told who we are, as a node makes them."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from builders import CREATED, NOW, US, make_agreement, served
from threatshare.config import Identity, OwnAssets
from threatshare.model import Collection, CollectionKind, Micros, moment
from threatshare.policy.agreements import Agreement, LegalBasis, Outbound
from threatshare.policy.candidates import Audience, Facts
from threatshare.policy.introduction import disguise_of, introduction
from threatshare.policy.profile_bundles import read_bundle
from threatshare.policy.profile_rules import facts_for
from threatshare.policy.profile_terms import Profile
from threatshare.policy.profiles import Report, check, shipped_profiles
from threatshare.share.outlets import Outlet
from threatshare.store.embedded import Store

NODE = Identity("Our Company", "technology", "US", "US-DC", US, CREATED)
LAW = (LegalBasis("a law", date(2026, 1, 1), date(2026, 12, 31)),)
SECRET = b"a secret of thirty-two characters"
OWN = OwnAssets(domains=("our-company.de",), mail_domains=("mail.our-company.de",))


def profiled(profile: str | None = "ais", consent: Any = "ais-consent-everyone", **outbound: Any) -> Agreement:
    """An agreement in force that names a profile."""
    terms: dict[str, Any] = {"max_tlp": "amber", "object_types": ("indicator", "sighting")}
    terms |= {"profile": profile, "consent": consent}
    return make_agreement("cisa", outbound=Outbound(**(terms | outbound)), legal_basis=LAW)


def node_outlet(
    collection: Collection, agreement: Agreement | None, now: Micros = NOW, node: Identity = NODE, **facts: Any
) -> Outlet:
    """Builds an outlet as ``Node.outlet`` does."""
    values: dict[str, Any] = {
        "own": OWN,
        "purpose": "live",
        "our_identity": node.identity,
        "today": moment(now).date(),
        "agreements": {agreement.partner: agreement} if agreement else {},
        "siem_floor": 1,
        "profiles": shipped_profiles(),
        "our_name": node.name,
        "our_place": (node.country, node.administrative_area),
    }
    told = Facts(**(values | facts))
    disguise = disguise_of(agreement, node, SECRET) if agreement else None
    audience = Audience(collection.alias, CollectionKind.PARTNER, agreement, disguise=disguise)
    identity, *place = introduction(node, audience, told)
    return Outlet(collection, audience, told, identity, now, tuple(place))


def received(store: Store, collection: Collection, outlet: Outlet, profile: Profile | None = None) -> Report:
    """Holds what the audience holds against the profile of its agreement, as ``profile check`` does."""
    standing = [one.body for one in served(store, collection) if one.current and not one.revoked]
    assert outlet.audience.agreement is not None
    name = outlet.audience.agreement.outbound.profile
    known = profile or outlet.facts.profiles[name or ""]
    bundle = {"type": "bundle", "id": "bundle--6f1b7f4e-6a8e-4f0b-9c59-1c9f8d1a2b3c", "objects": standing}
    return check(known, read_bundle(json.dumps(bundle).encode()), facts_for(outlet.audience, outlet.facts))
