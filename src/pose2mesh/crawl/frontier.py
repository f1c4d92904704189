"""Crawl frontier: fetched and pending URLs, in a SQLite file that survives a kill at any moment.

A URL is settled once, in the same transaction that adds the URLs found in its response. So after a kill no settled URL
is requested again and no found URL is lost; only requests in flight at that moment are repeated. Scrapy's JOBDIR cannot
do this: it writes its queues only when a crawl ends regularly.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pose2mesh.crawl.licences import Licence
from pose2mesh.crawl.urls import url_key
from pose2mesh.errors import InputError, one_line

_MOST_QUERIES = 50  # variants of one page that differ in the query only
ROBOTS_SECONDS = 24 * 3600.0  # RFC 9309, 2.4: a robots.txt is not used for longer

_TABLES = """
CREATE TABLE IF NOT EXISTS urls (
    id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, url TEXT NOT NULL, host TEXT NOT NULL, path TEXT NOT NULL,
    kind TEXT NOT NULL, depth INTEGER NOT NULL, page TEXT NOT NULL, licence TEXT NOT NULL, redirects INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, outcome TEXT, size INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON urls (kind, depth, id) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS variants ON urls (host, path);
CREATE TABLE IF NOT EXISTS robots (origin TEXT PRIMARY KEY, time REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS holds (host TEXT PRIMARY KEY, until REAL NOT NULL);
"""


@dataclass(frozen=True)
class CrawlTarget:
    """A URL to fetch.

    Attributes:
        url: Absolute URL.
        kind: Expected content.
        depth: Links from a start page.
        page: URL of the page that links to it; empty for a start URL.
        licence: Licence, for an image.
        redirects: Number of redirects that led here.
        attempts: Number of failed requests.
    """

    url: str
    kind: Literal["image", "page"]
    depth: int = 0
    page: str = ""
    licence: Licence = field(default_factory=Licence)
    redirects: int = 0
    attempts: int = 0

    @property
    def key(self) -> str:
        return url_key(self.url)

    @property
    def host(self) -> str:
        """Host name and port, the unit of the rate limit."""
        return urlsplit(self.url).netloc


class Frontier:
    """Queue of the URLs of a crawl, in a file that only one process at a time can open.

    Raises:
        InputError: the file cannot be opened or written, or another crawl has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._data = sqlite3.connect(path, timeout=0.2, isolation_level=None)
            self._data.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._data.execute("BEGIN EXCLUSIVE")
            for statement in filter(str.strip, _TABLES.split(";")):
                self._data.execute(statement)
            self._data.execute("COMMIT")
        except sqlite3.Error as error:
            busy = "another crawl is writing to this folder" if "locked" in str(error) else one_line(error)
            raise InputError(f"{path}: cannot be used ({busy})") from error

    def close(self) -> None:
        self._data.close()

    def add(self, targets: Iterable[CrawlTarget]) -> None:
        """Queue URLs that are not in the file yet; known ones are ignored, whatever their outcome."""
        with self._transaction():
            self._add(targets)

    def next(self, busy: set[str], full: set[str], kinds: Iterable[str]) -> CrawlTarget | None:
        """Next target: images before pages, then by depth, then in the order found; None if there is none.

        Args:
            busy: Hosts to skip.
            full: Hosts whose page limit is reached.
            kinds: `image`, `page` or both.
        """
        rows = self._data.execute(
            "SELECT url, kind, depth, page, licence, redirects, attempts FROM urls WHERE outcome IS NULL "
            "AND kind IN (SELECT value FROM json_each(?)) AND host NOT IN (SELECT value FROM json_each(?)) "
            "AND NOT (kind = 'page' AND host IN (SELECT value FROM json_each(?))) ORDER BY kind, depth, id LIMIT 1",
            [json.dumps(sorted(each)) for each in (kinds, busy, full)],
        )
        row = rows.fetchone()
        if row is None:
            return None
        url, kind, depth, page, licence, redirects, attempts = row
        return CrawlTarget(url, kind, depth, page, Licence(**json.loads(licence)), redirects, attempts)

    def settle(self, target: CrawlTarget, outcome: str, size: int = 0, found: Iterable[CrawlTarget] = ()) -> None:
        """Record the outcome of a URL together with the targets found in its response."""
        with self._transaction():
            self._data.execute("UPDATE urls SET outcome = ?, size = ? WHERE key = ?", (outcome, size, target.key))
            self._add(found)

    def postpone(self, target: CrawlTarget) -> None:
        """Count a failed attempt; the URL stays in the queue."""
        with self._transaction():
            self._data.execute("UPDATE urls SET attempts = attempts + 1 WHERE key = ?", (target.key,))

    def leave_out(self, urls: Iterable[str], outcome: str) -> None:
        """Mark image URLs as settled, so that they are never requested; existing outcomes stay."""
        with self._transaction():
            for url in urls:
                self._add([CrawlTarget(url, "image")])
                query = "UPDATE urls SET outcome = ? WHERE key = ? AND outcome IS NULL"
                self._data.execute(query, (outcome, url_key(url)))

    def outcomes(self, kind: str) -> dict[str, int]:
        """Number of images, or pages, by outcome; the most frequent first."""
        return dict(
            self._data.execute(
                "SELECT outcome, COUNT(*) FROM urls WHERE outcome IS NOT NULL AND kind = ? "
                "GROUP BY outcome ORDER BY COUNT(*) DESC, outcome",
                (kind,),
            )
        )

    def waiting(self) -> int:
        """Number of pending URLs."""
        return int(self._data.execute("SELECT COUNT(*) FROM urls WHERE outcome IS NULL").fetchone()[0])

    def bytes_fetched(self) -> int:
        return int(self._data.execute("SELECT COALESCE(SUM(size), 0) FROM urls").fetchone()[0])

    def pages_by_host(self) -> dict[str, int]:
        """Number of requested pages by host."""
        return dict(
            self._data.execute(
                "SELECT host, COUNT(*) FROM urls WHERE kind = 'page' AND outcome IS NOT NULL "
                "AND outcome != 'forbidden by robots.txt' GROUP BY host"
            )
        )

    def robots(self, origin: str) -> bytes | None:
        """The cached robots.txt of an origin, if fetched within the last day."""
        since = time.time() - ROBOTS_SECONDS
        row = self._data.execute("SELECT body FROM robots WHERE origin = ? AND time > ?", (origin, since)).fetchone()
        return None if row is None else row[0]

    def keep_robots(self, origin: str, body: bytes) -> None:
        with self._transaction():
            self._data.execute("INSERT OR REPLACE INTO robots VALUES (?, ?, ?)", (origin, time.time(), body))

    def hold(self, host: str, seconds: float) -> None:
        """Block requests to a host for a duration, in later runs too."""
        with self._transaction():
            self._data.execute("INSERT OR REPLACE INTO holds VALUES (?, ?)", (host, time.time() + seconds))

    def held(self, host: str) -> float:
        """Seconds for which a host is still blocked."""
        row = self._data.execute("SELECT until FROM holds WHERE host = ?", (host,)).fetchone()
        return 0.0 if row is None else max(0.0, row[0] - time.time())

    def _add(self, targets: Iterable[CrawlTarget]) -> None:
        for target in targets:
            parts = urlsplit(target.url)
            if target.kind == "page" and parts.query:
                query = "SELECT COUNT(*) FROM urls WHERE host = ? AND path = ?"
                if self._data.execute(query, (target.host, parts.path)).fetchone()[0] >= _MOST_QUERIES:
                    continue
            self._data.execute(
                "INSERT OR IGNORE INTO urls (key, url, host, path, kind, depth, page, licence, redirects) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (target.key, target.url, target.host, parts.path, target.kind, target.depth, target.page,
                 json.dumps(asdict(target.licence)), target.redirects),
            )  # fmt: skip

    def _transaction(self) -> _Transaction:
        return _Transaction(self._data, self.path)


class _Transaction:
    """A transaction that is rolled back on any error; SQLite errors such as a full disk become `InputError`."""

    def __init__(self, data: sqlite3.Connection, path: Path) -> None:
        self.data, self.path = data, path

    def __enter__(self) -> None:
        self.data.execute("BEGIN")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self.data.execute("COMMIT")
                return
        except sqlite3.Error as failure:
            error = failure
        if self.data.in_transaction:
            self.data.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise InputError(f"{self.path}: cannot be written ({one_line(error)})") from error
