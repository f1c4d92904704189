"""Licences stated by web pages: extraction from markup, normalised names, and whether they are open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)(?:/(\d\.\d))?", re.IGNORECASE)
_OPEN = re.compile(r"(CC0|CC BY|CC BY-SA|Public Domain)( \d\.\d)?")
_PUBLIC_DOMAIN = {"zero": "CC0", "mark": "Public Domain", "certification": "Public Domain"}
# Number of ancestors of an image that are searched for its licence.
_LEVELS = 4


@dataclass(frozen=True)
class Licence:
    """A licence found on a page.

    Attributes:
        name: `CC BY-SA 4.0`, `CC0 1.0`, `Public Domain 1.0` and so on; `other` for a URL or text that is not of
            Creative Commons; `unknown` if there is none.
        stated: The URL or text on the page.
        found: Kind of statement: `schema.org`, `near the image`, `page`, `Open Graph`; empty if there is none.
    """

    name: str = "unknown"
    stated: str = ""
    found: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is CC0, CC BY, CC BY-SA or public domain."""
        return _OPEN.fullmatch(self.name) is not None


def read_licence(stated: str, found: str) -> Licence:
    """Parse the URL or text of a licence; for `found` see `Licence`."""
    stated = stated.strip()[:500]
    if not stated:
        return Licence()
    match = _CREATIVE_COMMONS.search(stated)
    if match is None:
        return Licence("other", stated, found)
    kind, code, version = match[1].lower(), match[2].lower(), f" {match[3]}" if match[3] else ""
    name = _PUBLIC_DOMAIN.get(code, "other") if kind == "publicdomain" else f"CC {code.upper()}"
    return Licence(name + version if name != "other" else name, stated, found)


def strictest(licences: Iterable[Licence]) -> Licence:
    """The first licence that is not open, if any, else the first: when statements conflict, the strictest counts."""
    found = list(licences)
    return next((licence for licence in found if not licence.is_open), found[0] if found else Licence())


def near_image(image: Any) -> Licence:
    """Licence from the links (rel=license or Creative Commons) in the smallest element with only this image."""
    place = image
    for _ in range(_LEVELS):
        place = place.getparent()
        if place is None or len({each.get("data-src") or each.get("src") for each in place.iter("img")}) > 1:
            break
        links = place.xpath(".//a[contains(concat(' ', @rel, ' '), ' license ') or contains(@href, 'creativecommons')]")
        if links:
            return strictest(read_licence(link.get("href", ""), "near the image") for link in links)
    return Licence()


def of_page(root: Any) -> Licence:
    """Licence of the whole page: rel=license outside of figures, then meta tags, including Open Graph."""
    links = root.xpath("//*[self::a or self::link][contains(concat(' ', @rel, ' '), ' license ')]")
    links = [link for link in links if not link.xpath("ancestor::figure")]
    if links:
        return strictest(read_licence(link.get("href", ""), "page") for link in links)
    for name, found in (("og:license", "Open Graph"), ("og:image:license", "Open Graph"), ("license", "page")):
        stated = root.xpath("//meta[@property=$name or @name=$name]/@content", name=name)
        if stated:
            return read_licence(stated[0], found)
    dublin_core = root.xpath("//meta[@name='dcterms.license' or @name='dc.rights' or @name='DC.rights']/@content")
    return read_licence(dublin_core[0], "page") if dublin_core else Licence()


def of_image_objects(root: Any, absolute: Callable[[str], str | None]) -> dict[str, Licence]:
    """Licences by image URL, from schema.org ImageObjects in JSON-LD and microdata."""
    found: dict[str, list[Licence]] = {}
    for urls, stated in (*_json_ld(root), *_microdata(root)):
        for url in filter(None, map(absolute, urls)):
            found.setdefault(url, []).append(read_licence(stated, "schema.org"))
    return {url: strictest(licences) for url, licences in found.items()}


def _json_ld(root: Any) -> Iterator[tuple[list[str], str]]:
    for text in root.xpath("//script[@type='application/ld+json']/text()"):
        try:
            queue = [json.loads(text)]
        except (ValueError, RecursionError):
            continue
        while queue:
            node = queue.pop()
            if isinstance(node, list):
                queue.extend(node)
            if not isinstance(node, dict):
                continue
            queue.extend(node.values())
            kinds = node.get("@type")
            licence = node.get("license")
            if isinstance(licence, dict):
                licence = licence.get("@id") or licence.get("url")
            if isinstance(licence, str) and "ImageObject" in (kinds if isinstance(kinds, list) else [kinds]):
                urls = [node.get(name) for name in ("contentUrl", "url", "thumbnailUrl", "@id")]
                yield [url for url in urls if isinstance(url, str)], licence


def _microdata(root: Any) -> Iterator[tuple[list[str], str]]:
    for item in root.xpath("//*[@itemscope][contains(@itemtype, 'schema.org/ImageObject')]"):
        licences = item.xpath(".//*[@itemprop='license']/@href | .//*[@itemprop='license']/@content")
        urls = item.xpath(
            ".//*[@itemprop='contentUrl' or @itemprop='url']/@*[name()='src' or name()='href' or name()='content']"
        )
        urls += item.xpath(".//img/@src")
        if licences:
            yield urls, licences[0]
