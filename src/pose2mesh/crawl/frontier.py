"""What a crawl has fetched and what it has still to fetch, in a SQLite file that survives any kill.

A URL is settled, once, in the transaction that adds what was found behind it. So after a kill nothing settled is asked
for again, and nothing that was found is lost; only what was under way at that moment is asked for a second time.
Scrapy's JOBDIR cannot do this: it writes its queues only when a crawl ends in good order.
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
        url: To ask for.
        kind: What is expected there.
        depth: Links from a start page.
        page: The page that it was found on; empty for a start URL.
        licence: Of an image.
        redirects: How many led here.
        attempts: How often it has been asked for in vain.
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
        """Name and port, for which requests are paced together."""
        return urlsplit(self.url).netloc


class Frontier:
    """The URLs of a crawl, in a file that one process at a time can open.

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
        """Queue URLs that are not known yet, whatever became of those that are."""
        with self._transaction():
            self._add(targets)

    def next(self, busy: set[str], full: set[str], kinds: Iterable[str]) -> CrawlTarget | None:
        """What to fetch next: images before pages, then by depth, then in the order found.

        Args:
            busy: Hosts to leave out.
            full: Hosts of which no more pages are wanted.
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
        """Note what became of a URL, with what was found behind it."""
        with self._transaction():
            self._data.execute("UPDATE urls SET outcome = ?, size = ? WHERE key = ?", (outcome, size, target.key))
            self._add(found)

    def postpone(self, target: CrawlTarget) -> None:
        """Count an attempt in vain; the URL stays in the queue."""
        with self._transaction():
            self._data.execute("UPDATE urls SET attempts = attempts + 1 WHERE key = ?", (target.key,))

    def leave_out(self, urls: Iterable[str], outcome: str) -> None:
        """Never ask for these image URLs, unless something became of them already."""
        with self._transaction():
            for url in urls:
                self._add([CrawlTarget(url, "image")])
                query = "UPDATE urls SET outcome = ? WHERE key = ? AND outcome IS NULL"
                self._data.execute(query, (outcome, url_key(url)))

    def outcomes(self, kind: str) -> dict[str, int]:
        """How many images, or pages, ended how; the most frequent first."""
        return dict(
            self._data.execute(
                "SELECT outcome, COUNT(*) FROM urls WHERE outcome IS NOT NULL AND kind = ? "
                "GROUP BY outcome ORDER BY COUNT(*) DESC, outcome",
                (kind,),
            )
        )

    def waiting(self) -> int:
        """How many URLs are still to be fetched."""
        return int(self._data.execute("SELECT COUNT(*) FROM urls WHERE outcome IS NULL").fetchone()[0])

    def bytes_fetched(self) -> int:
        return int(self._data.execute("SELECT COALESCE(SUM(size), 0) FROM urls").fetchone()[0])

    def pages_by_host(self) -> dict[str, int]:
        """How many pages were asked for, by host."""
        return dict(
            self._data.execute(
                "SELECT host, COUNT(*) FROM urls WHERE kind = 'page' AND outcome IS NOT NULL "
                "AND outcome != 'forbidden by robots.txt' GROUP BY host"
            )
        )

    def robots(self, origin: str) -> bytes | None:
        """A robots.txt that was fetched within the last day."""
        since = time.time() - ROBOTS_SECONDS
        row = self._data.execute("SELECT body FROM robots WHERE origin = ? AND time > ?", (origin, since)).fetchone()
        return None if row is None else row[0]

    def keep_robots(self, origin: str, body: bytes) -> None:
        with self._transaction():
            self._data.execute("INSERT OR REPLACE INTO robots VALUES (?, ?, ?)", (origin, time.time(), body))

    def hold(self, host: str, seconds: float) -> None:
        """Leave a host alone for so long, in later runs too."""
        with self._transaction():
            self._data.execute("INSERT OR REPLACE INTO holds VALUES (?, ?)", (host, time.time() + seconds))

    def held(self, host: str) -> float:
        """For how many more seconds a host is to be left alone."""
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
    """All or nothing; what SQLite says on a full disk becomes an `InputError`."""

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
