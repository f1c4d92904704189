"""Public and private addresses."""

from __future__ import annotations

import pytest

from pose2mesh.crawl.ssrf_guard import AddressGuard, is_public


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "233.252.1.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1",
        "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::1",
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    assert not is_public(address)


def test_named_hosts_may_be_private_and_no_others() -> None:
    guard = AddressGuard(frozenset({"intranet.test"}))
    assert guard.allows("Intranet.test", "10.0.0.1")
    assert not guard.allows("other.intranet.test", "10.0.0.1")
    assert guard.allows("other.intranet.test", "8.8.8.8")
