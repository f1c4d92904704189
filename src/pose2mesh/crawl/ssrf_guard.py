"""Guard against server-side request forgery: every connection is checked by the addresses its host name resolved to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

_NAT64 = ip_network("64:ff9b::/96")  # global by `ipaddress`, and embeds an IPv4 address in its last four bytes


def is_public(address: str) -> bool:
    """Whether an address is public: not private, loopback, link-local, reserved, multicast or unspecified.

    An IPv6 address that embeds an IPv4 address (mapped, 6to4, Teredo, NAT64) must be public in both.
    """
    parsed = ip_address(address.partition("%")[0])
    if not parsed.is_global or parsed.is_multicast:
        return False
    return all(inner.is_global and not inner.is_multicast for inner in _embedded(parsed))


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]


class AddressGuard:
    """Filters resolved addresses and records the host names that were refused.

    Attributes:
        private_hosts: Names and addresses that may be private, because the user allowed them explicitly.
        refused: Names of which every address was refused.
    """

    def __init__(self, private_hosts: frozenset[str] = frozenset()) -> None:
        self.private_hosts = private_hosts
        self.refused: set[str] = set()

    def allows(self, host: str, address: str) -> bool:
        return host.lower() in self.private_hosts or is_public(address)

    def install(self, reactor: Any) -> None:
        """Install the guard between the reactor and its resolver; literal addresses pass through it too.

        A connection is made to the checked addresses themselves, so that DNS rebinding has no effect.
        """
        from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
        from zope.interface import implementer

        guard, inner = self, reactor.nameResolver

        @implementer(IResolutionReceiver)
        class Receiver:
            def __init__(self, receiver: Any, host: str) -> None:
                self.receiver, self.host, self.passed = receiver, host, 0

            def resolutionBegan(self, resolution: Any) -> None:
                self.receiver.resolutionBegan(resolution)

            def addressResolved(self, address: Any) -> None:
                if guard.allows(self.host, address.host):
                    self.passed += 1
                    self.receiver.addressResolved(address)
                else:
                    guard.refused.add(self.host.lower())

            def resolutionComplete(self) -> None:
                if self.passed:
                    guard.refused.discard(self.host.lower())
                self.receiver.resolutionComplete()

        @implementer(IHostnameResolver)
        class Resolver:
            def resolveHostName(
                self,
                resolutionReceiver: Any,
                hostName: str,
                portNumber: int = 0,
                addressTypes: Sequence[Any] | None = None,
                transportSemantics: str = "TCP",
            ) -> Any:
                return inner.resolveHostName(
                    Receiver(resolutionReceiver, hostName), hostName, portNumber, addressTypes, transportSemantics
                )

        reactor.installNameResolver(Resolver())

    def resolver(self) -> type:
        """Resolver class for Scrapy's `TWISTED_DNS_RESOLVER` setting."""
        guard = self

        class GuardedResolver:
            def __init__(self, reactor: Any) -> None:
                self.reactor = reactor

            @classmethod
            def from_crawler(cls, crawler: Any, reactor: Any) -> GuardedResolver:
                return cls(reactor)

            def install_on_reactor(self) -> None:
                guard.install(self.reactor)

        return GuardedResolver
