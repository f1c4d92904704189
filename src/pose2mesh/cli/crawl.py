"""`pose2mesh crawl` on the command line. Imports what it needs when it runs, as `cli/main.py` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pose2mesh.cli.console import say, warn
from pose2mesh.errors import InputError


def crawl(
    *,
    out: Path,
    start: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    from_folder: Path | None = None,
    remove: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    domain: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    licences: Literal["open", "any"] = "any",
    detector: Literal["auto", "mediapipe", "rtmpose", "none"] = "auto",
    detector_model: Annotated[list[Path] | None, Parameter(negative="")] = None,
    blur_faces: Annotated[bool, Parameter(negative="")] = False,
    max_images: int = 1000,
    max_pages: int = 500,
    max_depth: int = 5,
    max_bytes: int = 2_000_000_000,
    minutes: float = 60.0,
    delay: float = 1.0,
    allow_private: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Collect photos of people, with pseudo-labels and their licences, from web sites or a folder.

    Parameters
    ----------
    out
        Folder of the data set; the same command goes on with an interrupted crawl.
    start
        URLs of pages or photos, or text files of them, a URL a line. The crawl stays on their hosts.
    from_folder
        Photos on disk, in place of the web.
    remove
        Ids or URLs of photos to delete from the data set, never to be taken again.
    domain
        Further hosts that may be asked, each with its subdomains.
    licences
        open: only photos under CC0, CC BY, CC BY-SA or in the public domain, as their pages say.
    detector
        What finds people; none keeps every photo that is large enough, without keypoints.
    detector_model
        A model file of the detector in place of the download; give the option again for a second file.
    blur_faces
        Blur heads before a photo is written.
    max_images, max_pages, max_depth, max_bytes
        Photos to keep, pages to ask for, links from a start page, bytes to receive; runs on one folder add up.
    minutes
        Of this run.
    delay
        Seconds between two requests to a host; more where its robots.txt says so.
    allow_private
        The hosts of --start and --domain may have private addresses.
    """
    from pose2mesh.crawl import crawl_jobs
    from pose2mesh.crawl.crawl_limits import CrawlLimits

    if remove:
        if start or from_folder:
            raise InputError("--remove: goes with --out alone")
        return crawl_jobs.remove(out, remove, say)
    limits = CrawlLimits.checked(max_images, max_pages, max_depth, max_bytes, minutes, delay)
    options = crawl_jobs.CrawlOptions(
        out,
        tuple(start or ()),
        tuple(domain or ()),
        licences == "open",
        allow_private,
        detector,
        tuple(detector_model or ()),
        blur_faces,
        from_folder,
    )
    return crawl_jobs.collect(options, limits, say, warn)
