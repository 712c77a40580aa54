"""Which addresses may be connected to."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.networks import is_allowed

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "93.184.216.34", "::ffff:1.1.1.1", "64:ff9b::101:101", "2606:4700:4700::1111"]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_private_and_reserved_addresses_are_refused(address: str) -> None:
    assert not is_allowed(address, [])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, [])


def test_an_allowed_network_opens_itself_and_nothing_else() -> None:
    networks = [ip_network("10.20.0.0/16"), ip_network("fd00:1::/32")]
    assert is_allowed("10.20.3.4", networks)
    assert is_allowed("::ffff:10.20.3.4", networks)
    assert is_allowed("fd00:1::9", networks)
    assert not is_allowed("10.21.0.1", networks)
    assert not is_allowed("127.0.0.1", networks)
    assert not is_allowed("fd00:2::9", networks)


@given(st.ip_addresses(v=4))
def test_wrapping_an_ipv4_address_in_ipv6_never_opens_it(address: IPv4Address) -> None:
    number = int(address)
    wrappings = [
        f"::ffff:{address}",
        str(IPv6Address((0x64FF9B << 96) | number)),
        str(IPv6Address((0x2002 << 112) | (number << 80))),
    ]
    if not is_allowed(str(address), []):
        assert not any(is_allowed(wrapped, []) for wrapped in wrappings)


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_allowed(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not is_allowed(str(address), [])
