"""Limits of a crawl: images, pages, link depth, bytes, time and request rate."""

from __future__ import annotations

from dataclasses import dataclass

from pose2mesh.errors import InputError

LARGEST_FILE_BYTES = 64 << 20  # largest image or page that is downloaded


@dataclass(frozen=True)
class CrawlLimits:
    """Limits at which a crawl ends. All but `seconds` and the last two include earlier runs on the same folder.

    Attributes:
        images: Images in the data set.
        pages: Web pages requested; each start host gets an equal share.
        depth: Links from a start page.
        bytes: Bytes received, without headers.
        seconds: Duration of this run.
        delay: Seconds between two requests to a host; a longer delay in its robots.txt takes precedence.
        timeout: Seconds for one complete response.
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
        """Validate the limits of the command line.

        Raises:
            InputError: an option is out of range; the message names it.
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
