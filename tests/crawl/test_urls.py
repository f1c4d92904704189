"""URLs: normalisation, equality, site membership and crawler traps."""

from __future__ import annotations

import pytest

from pose2mesh.crawl.urls import Site, clean_url, looks_like_trap, split_url, url_key
from pose2mesh.errors import InputError


@pytest.mark.parametrize(
    ("url", "cleaned"),
    [
        ("HTTP://Example.ORG:80/a/../b/./c#part", "http://example.org/b/c"),
        ("https://example.org", "https://example.org/"),
        ("https://example.org:8443/x y.jpg?q=1", "https://example.org:8443/x%20y.jpg?q=1"),
        ("http://example.org/../../etc", "http://example.org/etc"),
        ("http://[2606:4700::1111]/a", "http://[2606:4700::1111]/a"),
    ],
)
def test_clean(url: str, cleaned: str) -> None:
    assert clean_url(url) == cleaned


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "file:///etc/passwd", "http://", "/a", "http://me:secret@example.org/", "http://[::1", "",
     "http://example.org:99999/", "http://example.org/" + "a" * 2000],
)  # fmt: skip
def test_unusable(url: str) -> None:
    assert clean_url(url) is None


def test_equal_urls() -> None:
    base = url_key("http://example.org/a?x=1&y=2")
    for url in (
        "https://example.org/a?y=2&x=1",
        "http://example.org/a?x=1&utm_source=mail&y=2",
        "http://example.org//a?x=1&y=2",
        "http://example.org/a;jsessionid=12AB?x=1&y=2",
        "http://example.org/a?x=1&y=2&PHPSESSID=9",
    ):
        assert url_key(url) == base, url
    for url in ("http://example.org/A?x=1&y=2", "http://example.org/a?x=1", "http://other.org/a?x=1&y=2"):
        assert url_key(url) != base, url


def test_traps() -> None:
    assert looks_like_trap("http://h/a/b/a/b/a/b/a/b")
    assert looks_like_trap("http://h/" + "/".join(map(str, range(20))))
    assert looks_like_trap("http://h/x?" + "&".join(f"k{number}=1" for number in range(12)))
    assert not looks_like_trap("http://h/photos/2024/05/17/crowd?page=2&size=big")


def test_site() -> None:
    site = Site.of(["http://www.example.org:8080/a", "https://10.0.0.1/"], ("cdn.net",))
    for url in ("http://example.org/", "https://img.example.org:8080/x", "http://a.cdn.net/", "http://10.0.0.1/x"):
        assert site.holds(url), url
    for url in (
        "http://example.org.evil.net/", "http://badexample.org/", "http://example.org:22/", "http://1.10.0.0.1.net/",
        "ftp://example.org/", "http://example.org@evil.net/",
    ):  # fmt: skip
        assert not site.holds(url), url


def test_bad_sites_are_named() -> None:
    with pytest.raises(InputError, match="--start 'htp://x'"):
        Site.of(["htp://x"])
    with pytest.raises(InputError, match="--domain 'http://x'"):
        Site.of(["http://x"], ("http://x",))


def test_a_url_needs_a_host() -> None:
    assert split_url("http:///path") is None
