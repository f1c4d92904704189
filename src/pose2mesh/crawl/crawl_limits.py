"""Where a crawl ends."""

from __future__ import annotations

from dataclasses import dataclass

from pose2mesh.errors import InputError

LARGEST_FILE_BYTES = 64 << 20  # of a photo, a page


@dataclass(frozen=True)
class CrawlLimits:
    """Where a crawl ends.

    Attributes:
        images: Photos in the data set.
        pages: Web pages asked for; each start host gets its share.
        depth: Links from a start page.
        bytes: Received, headers not counted.
        seconds: Of this run; the others count what earlier runs of the same folder did.
        delay: Seconds between two requests to a host, more where its robots.txt says so.
        timeout: Seconds for one response, to its last byte.
    """

    images: int = 1000
    pages: int = 500
    depth: int = 5
    bytes: int = 2_000_000_000
    seconds: float = 3600.0
    delay: float = 1.0
    timeout: float = 60.0

    @classmethod
    def checked(cls, images: int, pages: int, depth: int, size: int, minutes: float, delay: float) -> CrawlLimits:
        """The limits of the command line.

        Raises:
            InputError: names the option that is out of range.
        """
        for name, value, least in (
            ("max-images", images, 1), ("max-pages", pages, 0), ("max-depth", depth, 0), ("max-bytes", size, 1),
        ):  # fmt: skip
            if value < least:
                raise InputError(f"--{name} {value}: expected at least {least}")
        if not 0 < minutes < float("inf"):
            raise InputError(f"--minutes {minutes}: expected a number above 0")
        if not 0 <= delay < float("inf"):
            raise InputError(f"--delay {delay}: expected seconds, 0 or more")
        return cls(images, pages, depth, size, 60 * minutes, delay)
