"""Parsing of web pages: links and images, with the image size to download and the licence of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from pose2mesh.crawl.licences import Licence, near_image, of_image_objects, of_page
from pose2mesh.crawl.urls import clean_url, url_key

LARGEST_WIDTH_PX = 2048
_SMALLEST_SIDE_PX = 100  # images that the page displays smaller are icons
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_READABLE_TYPES = ("", "image/jpeg", "image/png", "image/webp")
_LAZY = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-url", "src")
_SRCSETS = ("data-srcset", "data-lazy-srcset", "srcset")
# One candidate of a srcset: a URL, which may hold commas but not end in one, and its width or density.
_CANDIDATE = re.compile(r"\s*,*\s*(\S*[^\s,])(?:\s+([\d.]+)([wx]))?\s*(?:,|$)")
_NOT_PAGES = re.compile(r"\.(?!html?$|php$|aspx?$|jsp$|xhtml$)[a-z][a-z0-9]{1,4}$", re.IGNORECASE)
_MOST_LINKS = 1000


@dataclass(frozen=True)
class FoundImage:
    """An image that a page embeds or links to."""

    url: str
    licence: Licence


@dataclass
class Page:
    """Links and images of a page, in document order, without duplicates."""

    links: list[str] = field(default_factory=list)
    images: list[FoundImage] = field(default_factory=list)


def read_page(html: bytes, url: str, encoding: str, robots_header: str = "") -> Page:
    """Parse the links and images of a page.

    Args:
        html: Body of the response.
        url: URL of the page, against which `<base>` and relative links are resolved.
        encoding: Text encoding.
        robots_header: `X-Robots-Tag`; it and `<meta name=robots>` may forbid following links or collecting images.
    """
    from lxml import etree
    from lxml import html as lxml_html

    try:
        # The parser's limits on depth and size stay on, as a protection against malicious pages.
        root = lxml_html.document_fromstring(html, parser=lxml_html.HTMLParser(encoding=encoding, huge_tree=False))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, LookupError):
        return Page()
    base = urljoin(url, next(iter(root.xpath("//base/@href")), ""))
    stated = ",".join([robots_header, *root.xpath("//meta[@name='robots' or @name='pose2mesh']/@content")]).lower()
    directives = {wish.strip().removeprefix("pose2mesh:").strip() for wish in stated.split(",")}
    page = Page()
    if not directives & {"nofollow", "none"}:
        page.links = list(dict.fromkeys(_links(root, base)))[:_MOST_LINKS]
    if not directives & {"noimageindex", "none"}:
        page.images = _images(root, base)
    return page


def is_image_url(url: str) -> bool:
    """Whether the path of a URL has the suffix of an image."""
    return urlsplit(url).path.lower().endswith(IMAGE_SUFFIXES)


def choose_candidate(srcset: str) -> tuple[str, float] | None:
    """Best candidate of a srcset and its width in pixels, 0 where none is given.

    The best is the widest up to `LARGEST_WIDTH_PX`, or else the narrowest; where densities are given, the densest.
    """
    found = [(match[1], float(match[2] or 1), match[3] or "x") for match in _CANDIDATE.finditer(srcset)]
    found = [candidate for candidate in found if not candidate[0].startswith("data:")]
    widths = [(url, width) for url, width, unit in found if unit == "w"]
    if widths:
        fitting = [candidate for candidate in widths if candidate[1] <= LARGEST_WIDTH_PX]
        return max(fitting, key=lambda each: each[1]) if fitting else min(widths, key=lambda each: each[1])
    return (max(found, key=lambda each: each[1])[0], 0.0) if found else None


def _links(root: Any, base: str) -> Iterator[str]:
    for href in root.xpath("//a/@href | //area/@href"):
        url = _absolute(base, href)
        if url is not None and not _NOT_PAGES.search(urlsplit(url).path):
            yield url


def _images(root: Any, base: str) -> list[FoundImage]:
    stated = of_image_objects(root, lambda url: _key(base, url))
    whole = of_page(root)
    found: dict[str, FoundImage] = {}

    def add(url: str | None, licence: Licence, shown: str | None = None) -> None:
        if url is None:
            return
        keys = [url_key(url)] + ([url_key(shown)] if shown else [])
        by_url = next((stated[key] for key in keys if key in stated), Licence())
        best = next((each for each in (by_url, licence, whole) if each.found), Licence())
        found.setdefault(keys[0], FoundImage(url, best))

    for image in root.xpath("//img"):
        if _is_icon(image):
            continue
        shown = _absolute(base, image.get("src", ""))
        full = [_absolute(base, href) for href in image.xpath("ancestor::a[1]/@href")]
        linked = next((url for url in full if url is not None and is_image_url(url)), None)
        add(linked or _best_source(image, base), near_image(image), shown)
    for href in root.xpath("//a[not(.//img)]/@href"):
        url = _absolute(base, href)
        if url is not None and is_image_url(url):
            add(url, Licence())
    for content in root.xpath("//meta[@property='og:image' or @property='og:image:url']/@content"):
        add(_absolute(base, content), Licence())
    return list(found.values())


def _best_source(image: Any, base: str) -> str | None:
    """Best URL of an `<img>`, from its `<picture>`, srcset and lazy-loading attributes."""
    # libxml2 does not treat `<source>` as a void element, and nests what follows inside it.
    sources = image.xpath("ancestor::picture[1]//source")
    holders = [image, *(source for source in sources if source.get("type", "") in _READABLE_TYPES)]
    chosen = [choose_candidate(holder.get(name)) for holder in holders for name in _SRCSETS if holder.get(name)]
    candidates = [candidate for candidate in chosen if candidate is not None]
    if candidates:
        fitting = [candidate for candidate in candidates if candidate[1] <= LARGEST_WIDTH_PX] or candidates
        return _absolute(base, max(fitting, key=lambda each: each[1])[0])
    urls = (_absolute(base, image.get(name, "")) for name in _LAZY)
    return next((url for url in urls if url is not None), None)


def _is_icon(image: Any) -> bool:
    sides = (image.get("width", ""), image.get("height", ""))
    return any(side.strip().isdecimal() and int(side) < _SMALLEST_SIDE_PX for side in sides)


def _absolute(base: str, url: str) -> str | None:
    if not url.strip():
        return None
    try:
        return clean_url(urljoin(base, url.strip()))
    except ValueError:
        return None


def _key(base: str, url: str) -> str | None:
    absolute = _absolute(base, url)
    return None if absolute is None else url_key(absolute)
