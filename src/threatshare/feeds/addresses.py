"""Which addresses a feed may be at: a configured name must not lead into our own network (SSRF)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google Cloud, OpenStack and others
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod credentials
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS EKS
        "fd20:ce::254",  # Google Cloud
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure host
        "192.0.0.192",  # Oracle Cloud
    )
)
"""Services that hand out a machine's credentials, from the vendors' documentation; never a feed."""

_NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "100.64.0.0/10",  # RFC 6598
        "192.0.0.0/24",  # RFC 6890
        "192.88.99.0/24",  # RFC 7526
    )
)
_INSIDE = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",  # RFC 4193
    )
)
_IPV6_UNICAST = IPv6Network("2000::/3")
"""The only IPv6 space that IANA gives out as global unicast (RFC 4291 §2.4)."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are the IPv4 address that is really meant."""


def objection(address: Address, allow_private: bool) -> str | None:
    """Says why an address must not be connected to; None where it may.

    ``allow_private`` lets private, link-local and loopback addresses through, never
    metadata services, multicast or unassigned space. The test is not ``is_private``:
    multicast counts as global in Python, and 100.64.0.0/10 as neither.
    """
    inner = _embedded(address)
    if inner is not None:
        return objection(inner, allow_private)
    if address in _METADATA:
        return "a cloud metadata service"
    if address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"):
        return "no address of a single host"
    if address.version == 4 and address.is_reserved:
        return "a reserved address"
    if allow_private:
        return None
    if any(address.version == net.version and address in net for net in _NOT_PUBLIC):
        return "no public address"
    if not address.is_global or (address.version == 6 and address not in _IPV6_UNICAST):
        return "no public address"
    return None


def is_inside(address: Address) -> bool:
    """Tells whether an address is plainly one of this host or of a site's own network: loopback, RFC 1918 or ULA."""
    inside = any(address.version == net.version and address in net for net in _INSIDE)
    return inside and address not in _METADATA


def _embedded(address: Address) -> IPv4Address | None:
    """Gives the IPv4 address that an IPv6 address is only another spelling of."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
