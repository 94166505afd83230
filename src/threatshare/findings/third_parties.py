"""Values that turn up in findings and are nobody's attack: public services, reference sites, the empty file.

Small on purpose: what a sensor or a report names beside the attack. The full known-benign lists act later, on the
score. Hosts hold for their subdomains too; a URL on such a host is one only where it names the host as a whole,
because attackers use these services: ``play.google.com/store/apps/details?id=...`` may be bad, the host is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from threatshare.config import Address
from threatshare.model import Kind, Observable, host_of
from threatshare.triage.benign import documentation, hard_benign

_HOSTS: Mapping[str, str] = {
    # Search engines, social networks and stores that reports defang although they are not bad.
    **dict.fromkeys(
        "google.com bing.com yahoo.com baidu.com duckduckgo.com yandex.ru wikipedia.org reddit.com imgur.com "
        "facebook.com instagram.com twitter.com x.com linkedin.com youtube.com tumblr.com t.me whatsapp.com "
        "microsoft.com windowsupdate.com apple.com oracle.com adobe.com mozilla.org intel.com github.com "
        "githubusercontent.com".split(),
        "a public service",
    ),
    # Analysts' tools and vendors' own pages.
    **dict.fromkeys(
        "virustotal.com urlscan.io any.run hybrid-analysis.com tria.ge abuse.ch shodan.io censys.io otx.alienvault.com "
        "attack.mitre.org cve.mitre.org nvd.nist.gov cisa.gov us-cert.gov first.org misp-project.org "
        "welivesecurity.com esetstatic.com eset.com unit42.paloaltonetworks.com zscaler.com talosintelligence.com "
        "securelist.com kaspersky.com mandiant.com crowdstrike.com proofpoint.com sentinelone.com trendmicro.com "
        "bleepingcomputer.com krebsonsecurity.com medium.com isc.sans.edu".split(),
        "a reference site",
    ),
    # Registrars, name servers and certificate authorities that reports list beside the bad domains.
    **dict.fromkeys(
        "gname.com godaddy.com namecheap.com namesilo.com name.com porkbun.com hostinger.com tucows.com enom.com "
        "publicdomainregistry.com reg.ru nic.ru ns.cloudflare.com domaincontrol.com registrar-servers.com "
        "awsdns.com iana.org icann.org".split(),
        "a registrar or name server",
    ),
    **dict.fromkeys(
        "amazontrust.com sectigo.com comodoca.com digicert.com globalsign.com letsencrypt.org lencr.org "
        "verisign.com entrust.net usertrust.com".split(),
        "a certificate authority",
    ),
    **dict.fromkeys(
        "ipify.org ipinfo.io ip-api.com ifconfig.me icanhazip.com whatismyip.com checkip.dyndns.org".split(),
        "a service that tells one's own address",
    ),
}

_RESOLVERS: Mapping[str, str] = {
    # The operators' own published addresses.
    **dict.fromkeys(("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"), "Google Public DNS"),
    **dict.fromkeys(("1.1.1.1", "1.0.0.1", "2606:4700:4700::1111", "2606:4700:4700::1001"), "Cloudflare DNS"),
    **dict.fromkeys(("9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9"), "Quad9"),
    **dict.fromkeys(("208.67.222.222", "208.67.220.220"), "OpenDNS"),
    **dict.fromkeys(("4.2.2.1", "4.2.2.2", "4.2.2.3", "4.2.2.4"), "Level 3 DNS"),
    **dict.fromkeys(("77.88.8.8", "77.88.8.1"), "Yandex DNS"),
    **dict.fromkeys(("114.114.114.114", "223.5.5.5", "223.6.6.6"), "a public DNS resolver"),
}

_EMPTY_FILE = frozenset(
    {
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    }
)


def third_party(observable: Observable) -> str | None:
    """Says what kind of bystander a value is; None where it is none that we know."""
    match observable.kind:
        case Kind.IPV4 | Kind.IPV6:
            return _RESOLVERS.get(observable.value)
        case Kind.DOMAIN:
            return _host(observable.value)
        case Kind.EMAIL:
            return None
        case Kind.URL:
            whole = observable.value.count("/") == 3 and observable.value.endswith("/")
            host = host_of(observable.value)
            return (_host(host) or _RESOLVERS.get(host)) if whole else None
        case _:
            return "the hash of the empty file" if observable.value in _EMPTY_FILE else None


def never_told(observable: Observable) -> str | None:
    """Says why no indicator of a value is ever made, whoever names it: it is known benign, or reserved; else None.

    Values from documentation are for the gate to judge.
    """
    bystander = third_party(observable)
    if bystander is not None:
        return f"known benign ({bystander})"
    rule = None if documentation(observable) else hard_benign(observable)
    return None if rule is None else f"{'known benign' if observable.kind.algorithm else 'reserved'}: {rule}"


def is_no_host(address: Address) -> bool:
    """Tells addresses of no machine: unspecified, this network, protocol assignments, multicast, broadcast, reserved.

    0.0.0.0/8 (RFC 1122), 192.0.0.0/24 (RFC 6890), 224.0.0.0/4 (RFC 5771), 240.0.0.0/4 (RFC 1112, RFC 919), ::/128 and
    ff00::/8 (RFC 4291), compared as numbers because every value of every finding is asked.
    """
    number = int(address)
    if address.version == 4:
        return number < 1 << 24 or number >= 224 << 24 or number >> 8 == 192 << 16
    return number == 0 or number >> 120 == 0xFF


def on_third_party_host(observable: Observable) -> str | None:
    """Says what kind of bystander hosts a URL, whatever its path; None for other kinds and hosts."""
    return _host(host_of(observable.value)) if observable.kind is Kind.URL else None


def _host(name: str) -> str | None:
    labels = name.split(".")
    return next((_HOSTS[end] for n in range(len(labels) - 1) if (end := ".".join(labels[n:])) in _HOSTS), None)
