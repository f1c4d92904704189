"""The crawl itself, on Scrapy: a scheduler that hands out the frontier's URLs, a spider that settles each of them."""

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
_LEAST_PAUSE_SECONDS = 0.5  # before another try
_PROGRESS = 20  # URLs from one line of progress to the next


@dataclass
class Crawl:
    """One run: what it works on and how it is told to stop.

    Attributes:
        pages_per_host: The share of a host in `limits.pages`, so that a trap on one leaves the others theirs.
        only_open: Ask for images under an open licence only.
        guard: Which addresses may be connected to.
        stopped: Whether the user wants the run to end.
        say: Takes lines of progress.
        failure: The error that ended the run.
        received: Bytes of bodies, those of earlier runs among them.
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
        """Whether nothing more is to be asked for."""
        return bool(self.end)

    @property
    def end(self) -> str:
        """Why nothing more is to be asked for, empty while the crawl goes on."""
        if self.failure is not None:
            return "failed"
        if self.stopped():
            return "stopped"
        if time.monotonic() - self.began > self.limits.seconds:
            return "the time is up"
        if self.received >= self.limits.bytes:
            return "the limit of bytes is reached"
        return "the limit of photos is reached" if len(self.dataset.records) >= self.limits.images else ""

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """End the crawl by an error in the block, which Scrapy would only log, and then wait for ever."""
        try:
            yield
        except Exception as error:
            self.failure = self.failure or error


def run(crawl: Crawl) -> Politeness:
    """Crawl until nothing is left or a limit is reached. Once in a process: Twisted's reactor does not start again.

    Returns:
        What became of the hosts.

    Raises:
        InputError: the disk is full, or the detector cannot work. Any other error of the crawl is raised as it is.
    """
    crawl.received = crawl.frontier.bytes_fetched()
    manners = Politeness(crawl.frontier, crawl.site, crawl.guard, crawl.limits.delay, lambda: crawl.ended)
    process = CrawlerProcess(_settings(crawl))  # which sets the loggers up anew
    for name in ("scrapy", "twisted", "py.warnings"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    started = process.crawl(PhotoSpider, crawl=crawl, manners=manners)
    started.addErrback(lambda failure: setattr(crawl, "failure", crawl.failure or failure.value))
    process.start(install_signal_handlers=False)
    if crawl.failure is not None:
        raise crawl.failure
    return manners


class FrontierScheduler:
    """Scrapy's scheduler: what the frontier has, one URL of a host at a time."""

    def __init__(self, spider: PhotoSpider) -> None:
        self.spider = spider

    @classmethod
    def from_crawler(cls, crawler: Any) -> FrontierScheduler:
        return cls(crawler.spider)

    def has_pending_requests(self) -> bool:
        if self.spider.crawl.failure is not None:
            return False
        return bool(self.spider.under_way) or self._next() is not None

    def enqueue_request(self, request: Request) -> bool:
        raise NotImplementedError("URLs are queued in the frontier")

    def next_request(self) -> Request | None:
        target = self._next()
        if target is None:
            return None
        self.spider.under_way[target.key] = target
        meta = {"target": target, "handle_httpstatus_all": True}
        return Request(
            target.url, self.spider.parse, errback=self.spider.fail, meta=meta, dont_filter=True,
            headers={"Accept": _IMAGES if target.kind == "image" else f"text/html,application/xhtml+xml,{_IMAGES}"},
        )  # fmt: skip

    def _next(self) -> CrawlTarget | None:
        with self.spider.crawl.noting_failure():
            return self.spider.next_target()
        return None


class PhotoSpider(Spider):
    """Settles every URL that it is handed: kept, not kept and why, led elsewhere, or put back for another try."""

    name = "photos"

    def __init__(self, crawl: Crawl, manners: Politeness, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.crawl, self.manners = crawl, manners
        self.under_way: dict[str, CrawlTarget] = {}
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
        """What the frontier has for a host that is free; images only while more are wanted than are under way."""
        if self.crawl.ended:
            return None
        under_way = self.under_way.values()
        busy = {target.host for target in under_way}
        busy |= {name for name, host in self.manners.hosts.items() if host.closed}
        asked = sum(self.pages.values()) + sum(target.kind == "page" for target in under_way)
        full = {name for name, pages in self.pages.items() if pages >= self.crawl.pages_per_host}
        images = len(self.crawl.dataset.records) + sum(target.kind == "image" for target in under_way)
        wanted = [("image", images < self.crawl.limits.images), ("page", asked < self.crawl.limits.pages)]
        return self.crawl.frontier.next(busy, full, [kind for kind, more in wanted if more])

    def parse(self, response: Response, **_: Any) -> None:
        with self.crawl.noting_failure():
            self._sort(response.meta["target"], response)

    def fail(self, failure: Any) -> None:
        with self.crawl.noting_failure():
            self._sort_failure(failure.request.meta["target"], failure.value)

    def _sort(self, target: CrawlTarget, response: Response) -> None:
        if 300 <= response.status < 400:
            self._redirect(target, response)
        elif response.status in _RETRIED:
            wait = retry_after(response) if response.status in _BUSY else None
            self._try_again(target, f"status {response.status}", wait)
        elif response.status != 200:
            self._settle(target, f"status {response.status}", response)
        elif _media_type(response.headers) not in _PAGE_TYPES:
            self._take(target, response)
        elif target.kind == "image":
            self._settle(target, "another content type", response)  # a login, say, in place of the photo
        else:
            self._settle(target, "read", response, self._found(target, response))

    def _sort_failure(self, target: CrawlTarget, error: BaseException) -> None:
        """Where there is no response: refused by our own rules, cut off, or the network's fault."""
        if isinstance(error, HostClosed):
            self._free(target)
        elif isinstance(error, Forbidden):
            self._settle(target, "forbidden by robots.txt")
        elif isinstance(error, StopDownload):
            if self.crawl.ended:
                self._free(target)
            else:
                self._settle(target, "another content type")
        elif (urlsplit(target.url).hostname or "") in self.crawl.guard.refused:
            self._settle(target, "private address")
        elif isinstance(error, DownloadCancelledError):
            self._settle(target, "too many bytes")
        elif isinstance(error, DownloadTimeoutError):
            self._settle(target, "too slow")
        else:
            self._try_again(target, "no answer", None)

    def check_headers(self, headers: Any, body_length: int, request: Request, spider: Any) -> None:
        """Break off a response of another type than photos and pages before its body is loaded."""
        target = request.meta.get("target")
        if target is None:
            return
        kind = _media_type(headers)
        expected = _IMAGE_TYPES if target.kind == "image" else (*_PAGE_TYPES, *_IMAGE_TYPES[:-1])
        # Servers give errors and redirects any type.
        if kind and kind not in expected and not headers.get("Location") and kind not in _PAGE_TYPES:
            raise StopDownload(fail=True)

    def count_bytes(self, data: bytes, request: Request, spider: Any) -> None:
        """Break off what is being received when the crawl's bytes or time are used up."""
        self.crawl.received += len(data)
        if self.crawl.ended:
            raise StopDownload(fail=True)

    def _found(self, target: CrawlTarget, response: Response) -> Iterator[CrawlTarget]:
        encoding = getattr(response, "encoding", "utf-8")
        wishes = (response.headers.get("X-Robots-Tag") or b"").decode("latin-1")
        page = read_page(response.body, response.url, encoding, wishes)
        for image in page.images:
            if self.crawl.site.holds(image.url) and (image.licence.is_open or not self.crawl.only_open):
                yield CrawlTarget(image.url, "image", target.depth, response.url, image.licence)
        if target.depth < self.crawl.limits.depth:
            for link in page.links:
                if self.crawl.site.holds(link) and not looks_like_trap(link) and not is_image_url(link):
                    yield CrawlTarget(link, "page", target.depth + 1, response.url)

    def _take(self, target: CrawlTarget, response: Response) -> None:
        if len(self.crawl.dataset.records) >= self.crawl.limits.images:
            self._free(target)
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

    def _try_again(self, target: CrawlTarget, reason: str, wait: float | None) -> None:
        if target.attempts + 1 >= _MOST_ATTEMPTS:
            self._settle(target, reason)
            return
        self.manners.hold(
            target.url,
            max(_LEAST_PAUSE_SECONDS, self.crawl.limits.delay) * 2**target.attempts if wait is None else wait,
        )
        self.crawl.frontier.postpone(target)
        self._free(target)

    def _settle(self, target: CrawlTarget, outcome: str, response: Response | None = None, found: Any = ()) -> None:
        size = 0 if response is None else len(response.body)
        self.crawl.frontier.settle(target, outcome, size, found)
        if target.kind == "page" and outcome != "forbidden by robots.txt":
            self.pages[target.host] = self.pages.get(target.host, 0) + 1
        self._free(target)
        self.settled += 1
        if self.settled % _PROGRESS == 0:
            kept, waiting = len(self.crawl.dataset.records), self.crawl.frontier.waiting()
            self.crawl.say(f"{self.settled} URLs asked for, {waiting} waiting: {kept} photos kept")

    def _free(self, target: CrawlTarget) -> None:
        self.under_way.pop(target.key, None)


def _media_type(headers: Any) -> str:
    value: bytes = headers.get("Content-Type") or b""
    return value.decode("latin-1").partition(";")[0].strip().lower()


def _settings(crawl: Crawl) -> dict[str, Any]:
    return {
        "TWISTED_DNS_RESOLVER": crawl.guard.resolver(),
        "USER_AGENT": f"{PRODUCT}/{version('pose2mesh')} (collects photos of people; obeys robots.txt)",
        "SCHEDULER": FrontierScheduler,
        "DOWNLOADER_MIDDLEWARES": {Politeness: 100},
        "ROBOTSTXT_OBEY": False,  # Manners does, and the spider redirects and retries, so that each URL is settled once
        "REDIRECT_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "RETRY_ENABLED": False,
        "COOKIES_ENABLED": False,
        "HTTPPROXY_ENABLED": False,  # behind a proxy nobody could tell which address is asked
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
