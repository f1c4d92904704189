"""Politeness towards hosts: robots.txt (RFC 9309), Crawl-delay, rate limit and Retry-After."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from protego import Protego
from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from pose2mesh.crawl.frontier import Frontier
from pose2mesh.crawl.ssrf_guard import AddressGuard
from pose2mesh.crawl.urls import Site

PRODUCT = "pose2mesh"  # user agent token in robots.txt
_ROBOTS_BYTES = 500 * 1024  # RFC 9309, 2.5: the least size that must be parsed
_MOST_REDIRECTS = 5
LONGEST_HOLD_SECONDS = 120.0  # a host that requests a longer pause is skipped until a later run


class Forbidden(IgnoreRequest):
    """A URL that robots.txt does not allow."""


class HostClosed(IgnoreRequest):
    """A URL of a host that is skipped for the rest of this run; the URL stays in the queue."""


@dataclass
class Host:
    """State of a host in this run.

    Attributes:
        delay: Seconds between two requests.
        ready: Time of the next allowed request, on the clock of `time.monotonic`.
        closed: Reason why the host is skipped for the rest of this run; empty if it is not skipped.
    """

    delay: float
    ready: float = 0.0
    closed: str = ""


class Politeness:
    """Downloader middleware for Scrapy, which replaces its robots.txt middleware.

    Scrapy's own middleware treats an unreachable robots.txt as permission and does not enforce Crawl-delay.

    Attributes:
        hosts: State of each host, by name and port.
    """

    def __init__(
        self, frontier: Frontier, site: Site, guard: AddressGuard, delay: float, ended: Callable[[], bool]
    ) -> None:
        self.frontier, self.site, self.guard, self.delay, self.ended = frontier, site, guard, delay, ended
        self.hosts: dict[str, Host] = {}
        self._robots: dict[str, Protego] = {}
        self._engine: Any = None

    @classmethod
    def from_crawler(cls, crawler: Any) -> Politeness:
        politeness: Politeness = crawler.spider.politeness
        politeness._engine = crawler
        return politeness

    def host(self, url: str) -> Host:
        name = urlsplit(url).netloc
        if name not in self.hosts:
            held = self.frontier.held(name)
            closed = f"requested a pause of {held:.0f} s more" if held > LONGEST_HOLD_SECONDS else ""
            self.hosts[name] = Host(self.delay, time.monotonic() + held, closed)
        return self.hosts[name]

    def hold(self, url: str, seconds: float) -> None:
        """Block requests to a host for a duration, in later runs too."""
        host = self.host(url)
        host.ready = max(host.ready, time.monotonic() + seconds)
        self.frontier.hold(urlsplit(url).netloc, seconds)
        if seconds > LONGEST_HOLD_SECONDS:
            host.closed = f"requested a pause of {seconds:.0f} s"

    async def process_request(self, request: Request) -> None:
        host = self.host(request.url)
        if not request.meta.get("is_robots"):
            robots = await self._robots_of(request.url, host)
            if not host.closed and not robots.can_fetch(request.url, PRODUCT):
                raise Forbidden
        while (pause := host.ready - time.monotonic()) > 0 and not host.closed and not self.ended():
            await asyncio.sleep(min(pause, 0.2))
        if host.closed or self.ended():
            raise HostClosed(host.closed)

    def process_response(self, request: Request, response: Response) -> Response:
        self._schedule_next(request.url)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        if not isinstance(exception, IgnoreRequest):
            self._schedule_next(request.url)

    def _schedule_next(self, url: str) -> None:
        host = self.host(url)
        host.ready = max(host.ready, time.monotonic() + host.delay)

    async def _robots_of(self, url: str, host: Host) -> Protego:
        """The robots.txt rules for a URL; 4xx allows everything, while 5xx or no response closes the host."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._robots:
            body = self.frontier.robots(origin)
            if body is None and not host.closed:
                body = await self._fetch_robots(f"{origin}/robots.txt", host)
                if not host.closed:
                    self.frontier.keep_robots(origin, body)
            rules = Protego.parse((body or b"").decode("utf-8", "replace"))
            if host.closed:
                return rules
            self._robots[origin] = rules
            host.delay = max(host.delay, _delay_of(rules))
            host.ready = max(host.ready, time.monotonic() + host.delay)
        return self._robots[origin]

    async def _fetch_robots(self, url: str, host: Host) -> bytes:
        for _ in range(_MOST_REDIRECTS + 1):
            meta = {"is_robots": True, "download_maxsize": _ROBOTS_BYTES}
            request = Request(url, meta=meta, callback=NO_CALLBACK, dont_filter=True)
            try:
                response = await self._engine.engine.download_async(request)
            except HostClosed:
                raise
            except Exception as error:  # any failure means that robots.txt is unavailable
                if self.ended():
                    raise HostClosed from error
                private = (urlsplit(url).hostname or "") in self.guard.refused
                host.closed = "private address" if private else f"robots.txt unavailable ({type(error).__name__})"
                return b""
            location = response.headers.get("Location")
            if 300 <= response.status < 400 and location:
                url = urljoin(url, location.decode("latin-1"))
                if self.site.holds(url):
                    continue
                host.closed = "robots.txt leads to another site"
            elif response.status == 429 or response.status >= 500:
                self.hold(url, retry_after(response) or 0.0)
                host.closed = f"robots.txt unavailable (status {response.status})"
            elif 200 <= response.status < 300:
                return response.body
            return b""
        host.closed = "robots.txt has too many redirects"
        return b""


def _delay_of(rules: Protego) -> float:
    delay = float(rules.crawl_delay(PRODUCT) or 0)
    rate = rules.request_rate(PRODUCT)
    return max(delay, rate.seconds / rate.requests if rate is not None and rate.requests else 0.0)


def retry_after(response: Response) -> float | None:
    """Seconds to wait from the Retry-After header, a number or a date; None without one."""
    value = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
