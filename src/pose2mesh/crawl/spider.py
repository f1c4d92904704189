"""Scrapy spider and scheduler: the scheduler takes URLs from the frontier, the spider records the outcome of each."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

from scrapy import Request, Spider, signals
from scrapy.crawler import CrawlerProcess
from scrapy.exceptions import DownloadCancelledError, DownloadTimeoutError, StopDownload
from scrapy.http import Response

from pose2mesh.crawl.crawl_dataset import Dataset, ImageOrigin
from pose2mesh.crawl.crawl_limits import LARGEST_FILE_BYTES, CrawlLimits
from pose2mesh.crawl.frontier import CrawlTarget, Frontier
from pose2mesh.crawl.image_decoding import RejectedImage
from pose2mesh.crawl.pages import is_image_url, read_page
from pose2mesh.crawl.politeness import PRODUCT, Forbidden, HostClosed, Politeness, retry_after
from pose2mesh.crawl.ssrf_guard import AddressGuard
from pose2mesh.crawl.urls import Site, clean_url, looks_like_trap

_IMAGE_TYPES = ("image/jpeg", "image/jpg", "image/png", "image/webp", "application/octet-stream")
_IMAGES = "image/jpeg,image/png,image/webp"
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_MOST_ATTEMPTS, _MOST_REDIRECTS = 3, 5
_RETRIED = (408, 429, 500, 502, 503, 504)
_BUSY = (429, 503)
_LEAST_PAUSE_SECONDS = 0.5  # least pause before a retry
_PROGRESS = 20  # URLs between two lines of progress


@dataclass
class Crawl:
    """State of one run.

    Attributes:
        pages_per_host: Share of each host in `limits.pages`, so that a crawler trap cannot use up the share of others.
        only_open: Request only images under an open licence.
        guard: Check of the addresses that may be connected to.
        stopped: Returns whether the user has requested to stop.
        say: Callback for lines of progress.
        failure: The error that ended the run.
        received: Bytes of response bodies, including earlier runs.
    """

    frontier: Frontier
    dataset: Dataset
    site: Site
    limits: CrawlLimits
    pages_per_host: int
    only_open: bool
    guard: AddressGuard
    stopped: Callable[[], bool]
    say: Callable[[str], None]
    failure: BaseException | None = None
    received: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def ended(self) -> bool:
        """Whether the crawl makes no further requests."""
        return bool(self.end)

    @property
    def end(self) -> str:
        """Reason why the crawl makes no further requests; empty while it runs."""
        if self.failure is not None:
            return "failed"
        if self.stopped():
            return "stopped"
        if time.monotonic() - self.began > self.limits.seconds:
            return "the time limit is reached"
        if self.received >= self.limits.bytes:
            return "the limit of bytes is reached"
        return "the limit of images is reached" if len(self.dataset.records) >= self.limits.images else ""

    @contextmanager
    def recording_failure(self) -> Iterator[None]:
        """End the crawl on an error in the block; Scrapy would only log it and wait for ever."""
        try:
            yield
        except Exception as error:
            self.failure = self.failure or error


def run(crawl: Crawl) -> Politeness:
    """Crawl until no URL is left or a limit is reached. Once per process: Twisted's reactor cannot be restarted.

    Returns:
        The politeness middleware, with the final state of the hosts.

    Raises:
        InputError: the disk is full, or the detector fails. Any other error of the crawl is raised unchanged.
    """
    crawl.received = crawl.frontier.bytes_fetched()
    politeness = Politeness(crawl.frontier, crawl.site, crawl.guard, crawl.limits.delay, lambda: crawl.ended)
    process = CrawlerProcess(_settings(crawl))  # reconfigures the loggers
    for name in ("scrapy", "twisted", "py.warnings"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    started = process.crawl(ImageSpider, crawl=crawl, politeness=politeness)
    started.addErrback(lambda failure: setattr(crawl, "failure", crawl.failure or failure.value))
    process.start(install_signal_handlers=False)
    if crawl.failure is not None:
        raise crawl.failure
    return politeness


class FrontierScheduler:
    """Scheduler for Scrapy that takes URLs from the frontier, one request per host at a time."""

    def __init__(self, spider: ImageSpider) -> None:
        self.spider = spider

    @classmethod
    def from_crawler(cls, crawler: Any) -> FrontierScheduler:
        return cls(crawler.spider)

    def has_pending_requests(self) -> bool:
        if self.spider.crawl.failure is not None:
            return False
        return bool(self.spider.in_flight) or self._next() is not None

    def enqueue_request(self, request: Request) -> bool:
        raise NotImplementedError("URLs are queued in the frontier")

    def next_request(self) -> Request | None:
        target = self._next()
        if target is None:
            return None
        self.spider.in_flight[target.key] = target
        meta = {"target": target, "handle_httpstatus_all": True}
        return Request(
            target.url, self.spider.parse, errback=self.spider.fail, meta=meta, dont_filter=True,
            headers={"Accept": _IMAGES if target.kind == "image" else f"text/html,application/xhtml+xml,{_IMAGES}"},
        )  # fmt: skip

    def _next(self) -> CrawlTarget | None:
        with self.spider.crawl.recording_failure():
            return self.spider.next_target()
        return None


class ImageSpider(Spider):
    """Records the outcome of every URL: kept, rejected with a reason, redirected, or postponed for a retry."""

    name = "images"

    def __init__(self, crawl: Crawl, politeness: Politeness, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.crawl, self.politeness = crawl, politeness
        self.in_flight: dict[str, CrawlTarget] = {}
        self.settled = 0
        self.pages = crawl.frontier.pages_by_host()

    @classmethod
    def from_crawler(cls, crawler: Any, *arguments: Any, **named: Any) -> Self:
        spider = super().from_crawler(crawler, *arguments, **named)
        crawler.signals.connect(spider.check_headers, signals.headers_received)
        crawler.signals.connect(spider.count_bytes, signals.bytes_received)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        return
        yield

    def next_target(self) -> CrawlTarget | None:
        """Next target of an idle host; images only while those kept and in flight are below the limit."""
        if self.crawl.ended:
            return None
        in_flight = self.in_flight.values()
        busy = {target.host for target in in_flight}
        busy |= {name for name, host in self.politeness.hosts.items() if host.closed}
        requested = sum(self.pages.values()) + sum(target.kind == "page" for target in in_flight)
        full = {name for name, pages in self.pages.items() if pages >= self.crawl.pages_per_host}
        images = len(self.crawl.dataset.records) + sum(target.kind == "image" for target in in_flight)
        wanted = [("image", images < self.crawl.limits.images), ("page", requested < self.crawl.limits.pages)]
        return self.crawl.frontier.next(busy, full, [kind for kind, more in wanted if more])

    def parse(self, response: Response, **_: Any) -> None:
        with self.crawl.recording_failure():
            self._handle_response(response.meta["target"], response)

    def fail(self, failure: Any) -> None:
        with self.crawl.recording_failure():
            self._handle_failure(failure.request.meta["target"], failure.value)

    def _handle_response(self, target: CrawlTarget, response: Response) -> None:
        if 300 <= response.status < 400:
            self._redirect(target, response)
        elif response.status in _RETRIED:
            wait = retry_after(response) if response.status in _BUSY else None
            self._retry(target, f"status {response.status}", wait)
        elif response.status != 200:
            self._settle(target, f"status {response.status}", response)
        elif _media_type(response.headers) not in _PAGE_TYPES:
            self._add_image(target, response)
        elif target.kind == "image":
            self._settle(target, "another content type", response)  # for example a login page instead of the image
        else:
            self._settle(target, "read", response, self._targets_found(target, response))

    def _handle_failure(self, target: CrawlTarget, error: BaseException) -> None:
        """Handle a request without a response: refused by the rules of the crawl, aborted, or failed in the network."""
        if isinstance(error, HostClosed):
            self._release(target)
        elif isinstance(error, Forbidden):
            self._settle(target, "forbidden by robots.txt")
        elif isinstance(error, StopDownload):
            if self.crawl.ended:
                self._release(target)
            else:
                self._settle(target, "another content type")
        elif (urlsplit(target.url).hostname or "") in self.crawl.guard.refused:
            self._settle(target, "private address")
        elif isinstance(error, DownloadCancelledError):
            self._settle(target, "too many bytes")
        elif isinstance(error, DownloadTimeoutError):
            self._settle(target, "too slow")
        else:
            self._retry(target, "no response", None)

    def check_headers(self, headers: Any, body_length: int, request: Request, spider: Any) -> None:
        """Abort a response that is neither an image nor a page before its body is loaded."""
        target = request.meta.get("target")
        if target is None:
            return
        kind = _media_type(headers)
        expected = _IMAGE_TYPES if target.kind == "image" else (*_PAGE_TYPES, *_IMAGE_TYPES[:-1])
        # Errors and redirects may have any content type.
        if kind and kind not in expected and not headers.get("Location") and kind not in _PAGE_TYPES:
            raise StopDownload(fail=True)

    def count_bytes(self, data: bytes, request: Request, spider: Any) -> None:
        """Abort a download when the limit of bytes or time is reached."""
        self.crawl.received += len(data)
        if self.crawl.ended:
            raise StopDownload(fail=True)

    def _targets_found(self, target: CrawlTarget, response: Response) -> Iterator[CrawlTarget]:
        encoding = getattr(response, "encoding", "utf-8")
        directives = (response.headers.get("X-Robots-Tag") or b"").decode("latin-1")
        page = read_page(response.body, response.url, encoding, directives)
        for image in page.images:
            if self.crawl.site.holds(image.url) and (image.licence.is_open or not self.crawl.only_open):
                yield CrawlTarget(image.url, "image", target.depth, response.url, image.licence)
        if target.depth < self.crawl.limits.depth:
            for link in page.links:
                if self.crawl.site.holds(link) and not looks_like_trap(link) and not is_image_url(link):
                    yield CrawlTarget(link, "page", target.depth + 1, response.url)

    def _add_image(self, target: CrawlTarget, response: Response) -> None:
        if len(self.crawl.dataset.records) >= self.crawl.limits.images:
            self._release(target)
            return
        try:
            if self.crawl.only_open and not target.licence.is_open:
                raise RejectedImage("no open licence")
            self.crawl.dataset.add(response.body, ImageOrigin(response.url, target.page, target.licence))
            outcome = "kept"
        except RejectedImage as reason:
            outcome = str(reason)
        self._settle(target, outcome, response)

    def _redirect(self, target: CrawlTarget, response: Response) -> None:
        location = (response.headers.get("Location") or b"").decode("latin-1")
        url = clean_url(urljoin(response.url, location)) if location else None
        if url is None or target.redirects >= _MOST_REDIRECTS or not self.crawl.site.holds(url):
            self._settle(target, "redirected too often or to another site", response)
            return
        onward = CrawlTarget(url, target.kind, target.depth, target.page, target.licence, target.redirects + 1)
        self._settle(target, "redirected", response, [onward])

    def _retry(self, target: CrawlTarget, reason: str, wait: float | None) -> None:
        if target.attempts + 1 >= _MOST_ATTEMPTS:
            self._settle(target, reason)
            return
        self.politeness.hold(
            target.url,
            max(_LEAST_PAUSE_SECONDS, self.crawl.limits.delay) * 2**target.attempts if wait is None else wait,
        )
        self.crawl.frontier.postpone(target)
        self._release(target)

    def _settle(self, target: CrawlTarget, outcome: str, response: Response | None = None, found: Any = ()) -> None:
        size = 0 if response is None else len(response.body)
        self.crawl.frontier.settle(target, outcome, size, found)
        if target.kind == "page" and outcome != "forbidden by robots.txt":
            self.pages[target.host] = self.pages.get(target.host, 0) + 1
        self._release(target)
        self.settled += 1
        if self.settled % _PROGRESS == 0:
            kept, waiting = len(self.crawl.dataset.records), self.crawl.frontier.waiting()
            self.crawl.say(f"{self.settled} URLs requested, {waiting} waiting: {kept} images kept")

    def _release(self, target: CrawlTarget) -> None:
        self.in_flight.pop(target.key, None)


def _media_type(headers: Any) -> str:
    value: bytes = headers.get("Content-Type") or b""
    return value.decode("latin-1").partition(";")[0].strip().lower()


def _settings(crawl: Crawl) -> dict[str, Any]:
    return {
        "TWISTED_DNS_RESOLVER": crawl.guard.resolver(),
        "USER_AGENT": f"{PRODUCT}/{version('pose2mesh')} (collects photos of people; obeys robots.txt)",
        "SCHEDULER": FrontierScheduler,
        "DOWNLOADER_MIDDLEWARES": {Politeness: 100},
        "ROBOTSTXT_OBEY": False,  # `Politeness` obeys it; the spider redirects and retries, so that a URL settles once
        "REDIRECT_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "RETRY_ENABLED": False,
        "COOKIES_ENABLED": False,
        "HTTPPROXY_ENABLED": False,  # behind a proxy the address of a connection cannot be checked
        "REFERER_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "LOG_ENABLED": False,
        "LOG_INSTALL_ROOT_HANDLER": False,
        "STATS_DUMP": False,
        "URLLENGTH_LIMIT": 0,
        "DOWNLOAD_DELAY": 0,
        "DOWNLOAD_TIMEOUT": crawl.limits.timeout,
        "DOWNLOAD_MAXSIZE": LARGEST_FILE_BYTES,
        "DOWNLOAD_WARNSIZE": 0,
        "CONCURRENT_REQUESTS": 16,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
    }
