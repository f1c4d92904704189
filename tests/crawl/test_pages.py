"""Parsing of pages: links, images, chosen sizes and licences."""

from __future__ import annotations

import json

import pytest

from pose2mesh.crawl.licences import read_licence
from pose2mesh.crawl.pages import Page, choose_candidate, read_page

CC = "https://creativecommons.org/licenses"


def page(body: str, head: str = "", robots: str = "") -> Page:
    html = f"<html><head>{head}</head><body>{body}</body></html>"
    return read_page(html.encode(), "http://h.org/dir/page", "utf-8", robots)


def urls(body: str, head: str = "") -> list[str]:
    return [image.url.removeprefix("http://h.org") for image in page(body, head).images]


@pytest.mark.parametrize(
    ("srcset", "chosen"),
    [
        ("a.jpg 400w, b.jpg 1600w, c.jpg 4000w", ("b.jpg", 1600)),
        ("big.jpg 9000w, huge.jpg 12000w", ("big.jpg", 9000)),
        ("a.jpg, b.jpg 2x, c.jpg 1.5x", ("b.jpg", 0)),
        ("only.jpg", ("only.jpg", 0)),
        ("w_300,h_200/a.jpg 300w,w_900,h_600/b.jpg 900w", ("w_900,h_600/b.jpg", 900)),
        ("data:image/gif;base64,R0 1x", None),
        ("", None),
    ],
)
def test_srcset(srcset: str, chosen: tuple[str, float] | None) -> None:
    assert choose_candidate(srcset) == chosen


def test_image_sources() -> None:
    assert urls('<img src="a.jpg">') == ["/dir/a.jpg"]
    assert urls('<img src="wait.gif" data-src="/real.jpg" loading="lazy">') == ["/real.jpg"]
    assert urls('<img src="s.jpg" data-srcset="m.jpg 800w, l.jpg 1800w">') == ["/dir/l.jpg"]
    picture = (
        '<picture><source srcset="a.avif 2000w" type="image/avif"><source srcset="b.webp 1000w" type="image/webp">'
    )
    assert urls(picture + '<img src="c.jpg"></picture>') == ["/dir/b.webp"]
    assert urls('<a href="full.JPG"><img src="thumb.jpg"></a>') == ["/dir/full.JPG"]
    assert urls('<a href="only-linked.png">see</a>') == ["/dir/only-linked.png"]
    assert urls("", '<meta property="og:image" content="/og.jpg">') == ["/og.jpg"]
    assert urls('<img src="a.jpg">', '<base href="http://h.org/base/">') == ["/base/a.jpg"]


def test_icons_and_data_urls_are_ignored() -> None:
    assert (
        urls('<img src="i.jpg" width="32"><img src="data:image/png;base64,AA"><img><img src=""><img src="http://[">')
        == []
    )
    assert urls('<img src="a.jpg"><img src="a.jpg#x"><noscript><img src="a.jpg"></noscript>') == ["/dir/a.jpg"]


def test_links() -> None:
    found = page(
        '<a href="b">1</a><a href="b#x">2</a><a href="c.pdf">3</a><a href="d.php?x=1">4</a><a href="mailto:x">5</a>'
    )
    assert found.links == ["http://h.org/dir/b", "http://h.org/dir/d.php?x=1"]


def test_robots_directives_of_the_page() -> None:
    body = '<a href="b">1</a><img src="a.jpg">'
    for wish, links, images in (("nofollow", 0, 1), ("noimageindex", 1, 0), ("none", 0, 0), ("noindex", 1, 1)):
        for found in (page(body, f'<meta name="robots" content="noarchive, {wish}">'), page(body, robots=wish)):
            assert (len(found.links), len(found.images)) == (links, images), wish
    found = page(body, '<meta name="robots" content="max-image-preview:none">')
    assert (len(found.links), len(found.images)) == (1, 1)


def test_not_html() -> None:
    for data in (b"", b"\x00\xff\xfe", b"<" * 1000, b"<div>" * 5000):
        assert read_page(data, "http://h.org/", "utf-8") == Page()
    assert read_page(b"<img src=a.jpg>", "http://h.org/", "no-such-code") == Page()


@pytest.mark.parametrize(
    ("stated", "name", "is_open"),
    [
        (f"{CC}/by/4.0/", "CC BY 4.0", True),
        (f"{CC}/by-sa/3.0/de/deed.en", "CC BY-SA 3.0", True),
        (f"{CC}/by-nc/4.0/", "CC BY-NC 4.0", False),
        (f"{CC}/by-nd/2.0/", "CC BY-ND 2.0", False),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0", True),
        ("//creativecommons.org/publicdomain/mark/1.0/", "Public Domain 1.0", True),
        ("/copyright", "other", False),
        ("", "unknown", False),
    ],
)
def test_licence_names(stated: str, name: str, is_open: bool) -> None:
    licence = read_licence(stated, "page")
    assert (licence.name, licence.is_open) == (name, is_open)


def licences(body: str, head: str = "") -> list[tuple[str, str]]:
    return [(image.licence.name, image.licence.found) for image in page(body, head).images]


def test_a_licence_near_one_image_is_not_its_neighbours() -> None:
    body = f'<ul><li><img src="a.jpg"><a href="{CC}/by/4.0/">CC</a></li><li><img src="b.jpg"></li></ul>'
    assert licences(body) == [("CC BY 4.0", "near the image"), ("unknown", "")]


def test_of_two_licences_the_stricter_counts() -> None:
    body = f'<div><img src="a.jpg"><a href="{CC}/by/4.0/">1</a><a href="{CC}/by-nc/4.0/">2</a></div>'
    assert licences(body) == [("CC BY-NC 4.0", "near the image")]


def test_a_licence_of_the_page_applies_to_every_image() -> None:
    link = f'<link rel="license" href="{CC}/by-sa/4.0/">'
    assert licences('<p><img src="a.jpg"></p><p><img src="b.jpg"></p>', link) == [("CC BY-SA 4.0", "page")] * 2
    graph = f'<meta property="og:license" content="{CC}/by/4.0/">'
    assert licences('<img src="a.jpg">', graph) == [("CC BY 4.0", "Open Graph")]


def test_schema_org_names_the_image() -> None:
    objects = {"@graph": [{"@type": ["ImageObject"], "contentUrl": "b.jpg", "license": {"@id": f"{CC}/by/4.0/"}}]}
    kind = 'type="application/ld+json"'
    script = f"<script {kind}>{json.dumps(objects)}</script><script {kind}>{{</script>"
    link = f'<link rel="license" href="{CC}/by-nc/4.0/">'
    assert licences('<p><img src="a.jpg"></p><p><img src="b.jpg"></p>', script + link) == [
        ("CC BY-NC 4.0", "page"),
        ("CC BY 4.0", "schema.org"),
    ]
    micro = (
        '<div itemscope itemtype="https://schema.org/ImageObject"><img src="a.jpg" itemprop="contentUrl">'
        f'<span><a itemprop="license" href="{CC}/by/2.0/">x</a></span></div><p><img src="b.jpg"></p>'
    )
    assert licences(micro) == [("CC BY 2.0", "schema.org"), ("unknown", "")]
