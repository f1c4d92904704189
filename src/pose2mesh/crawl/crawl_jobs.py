"""Jobs of `pose2mesh crawl`: collect images of people from the web or a folder into a data set, and remove images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from pose2mesh.crawl.crawl_dataset import Dataset, ImageOrigin
from pose2mesh.crawl.crawl_limits import LARGEST_FILE_BYTES, CrawlLimits
from pose2mesh.crawl.crawl_options import CrawlOptions
from pose2mesh.crawl.frontier import CrawlTarget, Frontier
from pose2mesh.crawl.image_decoding import RejectedImage
from pose2mesh.crawl.pages import IMAGE_SUFFIXES, is_image_url
from pose2mesh.crawl.ssrf_guard import AddressGuard
from pose2mesh.crawl.urls import Site, clean_url, url_key
from pose2mesh.detectors.registry import load_detector
from pose2mesh.errors import InputError
from pose2mesh.io.extras import not_installed
from pose2mesh.io.interrupts import StopSignals, stop_signals

STATE = "crawl.sqlite"
_PROGRESS = 20  # images between two lines of progress
Say = Callable[[str], None]


def collect(options: CrawlOptions, say: Say, warn: Say) -> int:
    """Collect images into `options.out`, resuming an earlier crawl. Returns the exit status.

    Raises:
        InputError: an option is invalid, the detector is not available, or the disk is full.
    """
    options.check()
    limits = options.limits
    _require("imagehash", *([] if options.from_folder else ["scrapy"]))
    targets = [] if options.from_folder else _start_targets(options.start)
    site = Site.of([target.url for target in targets], options.domain)
    detector = None if options.detector == "none" else load_detector(options.detector, options.detector_model)
    frontier = _open_frontier(options.out)
    try:
        dataset = Dataset(options.out, detector, options.blur_faces)
        with stop_signals() as signals:
            signals.deferred = True
            try:
                if options.from_folder is not None:
                    notes = _from_folder(options.from_folder, dataset, limits, signals, say)
                else:
                    notes = _from_web(options, targets, site, frontier, dataset, limits, signals, say)
                dataset.write_results()
            except InputError as error:
                raise InputError(f"{error}; {_count(dataset)}") from error
    finally:
        frontier.close()
    say(f"{options.out}: {_count(dataset)}{''.join(f'; {note}' for note in notes)}")
    if signals.received is not None:
        warn("pose2mesh: stopped; the same command resumes")
        return 128 + signals.received
    return 0 if dataset.records else 1


def _require(*libraries: str) -> None:
    for library in libraries:
        if find_spec(library) is None:
            raise InputError(f"crawl: {not_installed(library, 'crawl')}")


def remove(out: Path, wanted: list[str], say: Say) -> int:
    """Delete images, by id or URL, from a data set; later crawls do not collect them again."""
    if not out.is_dir():
        raise InputError(f"--out {out}: no such folder")
    frontier = _open_frontier(out)
    try:
        dataset = Dataset(out)
        count = dataset.remove(wanted)
    finally:
        frontier.close()
    say(f"{out}: {count} removed, {_count(dataset)}")
    return 0


def _open_frontier(out: Path) -> Frontier:
    """Open the crawl state of a data set, and lock its folder against other processes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be made ({error.strerror})") from error
    return Frontier(out / STATE)


def _from_web(
    options: CrawlOptions,
    targets: list[CrawlTarget],
    site: Site,
    frontier: Frontier,
    dataset: Dataset,
    limits: CrawlLimits,
    signals: StopSignals,
    say: Say,
) -> list[str]:
    from pose2mesh.crawl.spider import Crawl, run

    named = {urlsplit(target.url).hostname or "" for target in targets}
    named |= {domain.lower() for domain in options.domain}
    guard = AddressGuard(frozenset(named) if options.allow_private else frozenset())
    frontier.leave_out((record["url"] for record in dataset.records), "kept")
    frontier.leave_out((record["url"] for record in dataset.removed), "removed")
    frontier.add(targets)
    share = -(-limits.pages // len({target.host for target in targets}))
    crawl = Crawl(
        frontier,
        dataset,
        site,
        limits,
        share,
        options.licences == "open",
        guard,
        lambda: signals.received is not None,
        say,
    )
    politeness = run(crawl)
    notes = []
    for title, kind in (("not kept", "image"), ("pages", "page")):
        ends = [f"{count} {how}" for how, count in frontier.outcomes(kind).items() if how != "kept"]
        if ends:
            notes.append(f"{title}: {', '.join(ends)}")
    notes += [f"{name} left out: {host.closed}" for name, host in politeness.hosts.items() if host.closed]
    if crawl.end not in ("", "stopped"):
        notes.append(crawl.end)
    if waiting := frontier.waiting():
        notes.append(f"{waiting} URLs not requested")
    return notes


def _from_folder(folder: Path, dataset: Dataset, limits: CrawlLimits, signals: StopSignals, say: Say) -> list[str]:
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    rejected: Counter[str] = Counter()
    for number, path in enumerate(images, 1):
        if signals.received is not None or len(dataset.records) >= limits.images:
            rejected["not processed"] = len(images) - number + 1
            break
        url = path.resolve().as_uri()
        if url_key(url) in dataset.urls:
            continue
        try:
            if path.stat().st_size > LARGEST_FILE_BYTES:
                raise RejectedImage("too many bytes")
            data = path.read_bytes()
            dataset.add(data, ImageOrigin(url))
        except RejectedImage as reason:
            rejected[str(reason)] += 1
        except OSError as error:  # an error in reading: writing raises InputError
            rejected[error.strerror or "unreadable"] += 1
        if number % _PROGRESS == 0:
            say(f"{number} of {len(images)} images processed: {len(dataset.records)} kept")
    return [f"not kept: {', '.join(f'{count} {reason}' for reason, count in rejected.items())}"] if rejected else []


def _start_targets(start: tuple[str, ...]) -> list[CrawlTarget]:
    urls: list[str] = []
    for item in start:
        if "://" in item:
            urls.append(item)
            continue
        try:
            lines = Path(item).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--start {item!r}: expected a URL, or a text file with one URL a line") from error
        urls += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    targets = []
    for url in urls:
        clean = clean_url(url)
        if clean is None:
            raise InputError(f"--start {url!r}: expected an http or https URL, or a text file of them")
        targets.append(CrawlTarget(clean, "image" if is_image_url(clean) else "page"))
    if not targets:
        raise InputError(f"--start {' '.join(start)}: no URL in it")
    return targets


def _count(dataset: Dataset) -> str:
    people = sum(len(record["people"]) for record in dataset.records)
    return f"{len(dataset.records)} images kept, with {people} people"
