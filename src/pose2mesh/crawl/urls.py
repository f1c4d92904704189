"""URLs of a crawl: normalisation, equality, site membership and crawler traps."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from pose2mesh.errors import InputError

# Query parameters that identify a session, not a page.
_SESSION_QUERY = re.compile(r"(utm_.*|fbclid|gclid|msclkid|phpsessid|jsessionid|sessionid)", re.IGNORECASE)
_SESSION_PATH = re.compile(r";jsessionid=[^/?]*", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
LONGEST_URL = 2000
_MOST_SEGMENTS, _MOST_REPEATS, _MOST_PARAMETERS = 16, 3, 8


def split_url(url: str) -> SplitResult | None:
    """The parts of an absolute http(s) URL with a host and no user name; None for anything else."""
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in _PORTS and bool(parts.hostname) and "@" not in parts.netloc and (parts.port or 1) > 0
    except ValueError:
        return None
    return parts if usable else None


def clean_url(url: str) -> str | None:
    """The URL to request: no fragment, no dot segments, host in lower case, no default port. None if unusable."""
    from w3lib.url import safe_url_string

    if len(url) > LONGEST_URL or split_url(url) is None:
        return None
    try:
        parts = urlsplit(safe_url_string(url.strip()))
    except ValueError:
        return None
    port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    path = urlsplit(urljoin("http://host/", parts.path or "/")).path
    return urlunsplit((parts.scheme, f"{host}{port}", path, parts.query, ""))


def url_key(url: str) -> str:
    """Key that is equal for URLs of the same content: parameters are sorted and session parameters removed."""
    parts = urlsplit(url)
    query = sorted(
        pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _SESSION_QUERY.fullmatch(pair[0])
    )
    return urlunsplit(
        ("http", parts.netloc, re.sub("//+", "/", _SESSION_PATH.sub("", parts.path)), urlencode(query), "")
    )


def looks_like_trap(url: str) -> bool:
    """Whether a URL looks like a crawler trap: repeated segments, a very deep path or very many parameters."""
    parts = urlsplit(url)
    segments = [segment for segment in parts.path.split("/") if segment]
    repeats = max(Counter(segments).values(), default=0)
    parameters = parts.query.count("&") + 1
    return len(segments) > _MOST_SEGMENTS or repeats > _MOST_REPEATS or parameters > _MOST_PARAMETERS


@dataclass(frozen=True)
class Site:
    """Hosts and ports that a crawl may request.

    Attributes:
        hosts: Host names, each including its subdomains, or addresses.
        ports: Ports of the start URLs, and 80 and 443: a page cannot make the crawl try others.
    """

    hosts: frozenset[str]
    ports: frozenset[int]

    @classmethod
    def of(cls, start: list[str], domains: tuple[str, ...] = ()) -> Site:
        """The hosts of the start URLs, without `www.`, and further domains.

        Raises:
            InputError: a URL or a domain is invalid.
        """
        hosts, ports = set(), set(_PORTS.values())
        for url in start:
            parts = split_url(url)
            if parts is None or parts.hostname is None:
                raise InputError(f"--start {url!r}: expected an http or https URL, or a text file of them")
            hosts.add(parts.hostname.removeprefix("www."))
            ports.add(parts.port or _PORTS[parts.scheme])
        for domain in domains:
            if not re.fullmatch(r"[\w.-]+", domain):
                raise InputError(f"--domain {domain!r}: expected a host name such as images.example.org")
            hosts.add(domain.lower())
        return cls(frozenset(hosts), frozenset(ports))

    def holds(self, url: str) -> bool:
        """Whether a URL belongs to the site."""
        parts = split_url(url)
        if parts is None or parts.hostname is None or (parts.port or _PORTS[parts.scheme]) not in self.ports:
            return False
        return any(parts.hostname == host or parts.hostname.endswith(f".{host}") for host in self.hosts)
