"""Options of `pose2mesh crawl`: the flags and their help, so this file imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pose2mesh.crawl.crawl_limits import CrawlLimits
from pose2mesh.errors import InputError


@dataclass(frozen=True)
class CrawlOptions:
    """Sources of a crawl, and its limits.

    Attributes:
        out: Folder of the data set; the same command resumes an interrupted crawl.
        start: URLs of pages or images, or text files with one URL a line. The crawl stays on their hosts.
        from_folder: Folder of images on disk, in place of the web.
        remove: Ids or URLs of images to delete from the data set; later crawls do not collect them again.
        domain: Further hosts that may be crawled, each with its subdomains.
        licences: open: only images under CC0, CC BY, CC BY-SA or in the public domain, as their pages state.
        detector: Person detector; none keeps every image that is large enough, without keypoints.
        detector_model: A model file of the detector in place of the download; repeat the option for a second file.
        blur_faces: Blur heads before an image is written.
        max_images: Images to keep; runs on one folder add up.
        max_pages: Pages to request; runs on one folder add up.
        max_depth: Links from a start page.
        max_bytes: Bytes to receive; runs on one folder add up.
        minutes: Duration of this run.
        delay: Seconds between two requests to a host; more where its robots.txt asks for more.
        allow_private: The hosts of --start and --domain may have private addresses.
    """

    out: Path
    start: tuple[str, ...] = ()
    from_folder: Path | None = None
    remove: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    licences: Literal["open", "any"] = "any"
    detector: Literal["auto", "movenet", "blazepose", "rtmpose", "none"] = "auto"
    detector_model: Annotated[tuple[Path, ...], Parameter(consume_multiple=False)] = ()
    blur_faces: bool = False
    max_images: int = 1000
    max_pages: int = 500
    max_depth: int = 5
    max_bytes: int = 2_000_000_000
    minutes: float = 60.0
    delay: float = 1.0
    allow_private: bool = False

    @property
    def limits(self) -> CrawlLimits:
        """The validated limits of the crawl.

        Raises:
            InputError: an option is out of range; the message names it.
        """
        return CrawlLimits.checked(
            self.max_images, self.max_pages, self.max_depth, self.max_bytes, self.minutes, self.delay
        )

    def check(self) -> None:
        """Validate the options before any work is done.

        Raises:
            InputError: an option is invalid; the message names the option, the value and what was expected.
        """
        if self.remove:
            if self.start or self.from_folder:
                raise InputError("--remove: goes with --out alone")
            return
        _ = self.limits
        if bool(self.start) == (self.from_folder is not None):
            raise InputError("crawl: expected either --start or --from-folder")
        if self.from_folder is not None and self.licences == "open":
            raise InputError("--licences open: images of --from-folder state no licence; expected --licences any")
        if self.from_folder is not None and not self.from_folder.is_dir():
            raise InputError(f"--from-folder {self.from_folder}: no such folder")
        if self.blur_faces and self.detector == "none":
            raise InputError("--blur-faces: needs a detector to find the faces; --detector is none")
