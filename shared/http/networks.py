"""Which addresses an outgoing fetch may connect to.

Everything public, and what the installation allows by network. A feed's address is input: without this
check it could make us read our own databases or a cloud's metadata service (OWASP: server-side request
forgery).
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

__all__ = ["Address", "Network", "client_group", "is_allowed", "unwrapped"]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_NEVER_ALLOWED = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "100.64.0.0/10",  # shared address space (RFC 6598)
            "192.0.0.0/24",
            "192.88.99.0/24",  # 6to4 relays, withdrawn (RFC 7526)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "3fff::/20",  # documentation (RFC 9637)
            "5f00::/16",
            "fec0::/10",
        ),
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ip_network("2002::/16")


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address inside a mapped, 6to4, NAT64 or compatible IPv6 one, else the address."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    number = int(address)
    if address in _NAT64 or (number >> 32 == 0 and number > 1):
        return IPv4Address(number & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address((number >> 80) & 0xFFFFFFFF)
    return address


def is_allowed(text: str, allowed_networks: Sequence[Network]) -> bool:
    """Tell whether an address may be connected to: in an allowed network, or public.

    Raises ``ValueError`` for text that is no IP address.
    """
    address = unwrapped(ip_address(text.partition("%")[0]))
    if any(address in network for network in allowed_networks if network.version == address.version):
        return True
    is_reserved = (
        not address.is_global
        or address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )
    return not is_reserved and not any(
        address in network for network in _NEVER_ALLOWED if network.version == address.version
    )


def client_group(text: str) -> str:
    """Return what limits count a client by: its address, or the /64 that one IPv6 subscriber holds."""
    try:
        address = ip_address(text)
    except ValueError:
        return text or "unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, 64), strict=False))
    return str(unwrapped(address))
