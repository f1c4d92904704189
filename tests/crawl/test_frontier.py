"""Crawl frontier: order, persistence, and the state after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pose2mesh.crawl.frontier import CrawlTarget, Frontier
from pose2mesh.crawl.licences import Licence
from pose2mesh.errors import InputError


def page(path: str, depth: int = 0, host: str = "h.org") -> CrawlTarget:
    return CrawlTarget(f"http://{host}/{path}", "page", depth)


def image(path: str, host: str = "h.org") -> CrawlTarget:
    return CrawlTarget(f"http://{host}/{path}", "image", 1, f"http://{host}/", Licence("CC BY 4.0", "x", "page"))


def drain(frontier: Frontier) -> list[str]:
    paths = []
    while (target := frontier.next(set(), set(), ("image", "page"))) is not None:
        frontier.settle(target, "done")
        paths.append(target.url.rpartition("/")[2])
    return paths


def test_images_come_before_pages_and_small_depths_first(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "state")
    frontier.add([page("far", 2), page("near", 1), image("b.jpg"), image("a.jpg"), page("near2", 1)])
    assert drain(frontier) == ["b.jpg", "a.jpg", "near", "near2", "far"]


def test_targets_round_trip(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "state")
    frontier.add([image("a.jpg")])
    assert frontier.next(set(), set(), ("image",)) == image("a.jpg")


def test_hosts_and_kinds_are_left_out(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "state")
    frontier.add([image("a.jpg"), page("x"), page("y", host="other.org")])
    assert frontier.next({"h.org"}, set(), ("image", "page")) == page("y", host="other.org")
    assert frontier.next({"other.org"}, {"h.org"}, ("page",)) is None
    assert frontier.next(set(), set(), ()) is None


def test_a_url_is_queued_once(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "state")
    frontier.add([page("a?x=1&y=2"), page("a?y=2&x=1"), page("a?x=1&y=2&utm_medium=web")])
    frontier.settle(page("a?x=1&y=2"), "read", found=[page("a?x=1&y=2"), page("b")])
    assert drain(frontier) == ["b"]


def test_variants_of_one_page_are_bounded(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "state")
    frontier.add(page(f"calendar?day={day}") for day in range(500))
    assert frontier.waiting() == 50


def test_settled_urls_stay_settled_without_a_close(tmp_path: Path) -> None:
    first = Frontier(tmp_path / "state")
    first.add([page("a"), page("b")])
    first.settle(page("a"), "read", 120, [page("c")])
    first.postpone(page("b"))
    first.keep_robots("http://h.org", b"rules")
    first.hold("h.org", 100)
    first.close()
    second = Frontier(tmp_path / "state")
    target = second.next(set(), set(), ("page",))
    assert target is not None
    assert (target.url, target.attempts) == ("http://h.org/b", 1)
    assert second.outcomes("page") == {"read": 1}
    assert (second.bytes_fetched(), second.waiting(), second.pages_by_host()) == (120, 2, {"h.org": 1})
    assert second.robots("http://h.org") == b"rules"
    assert 90 < second.held("h.org") <= 100


def test_a_url_is_not_settled_when_its_targets_cannot_be_added(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "state")
    frontier.add([page("a")])

    def broken() -> Iterator[CrawlTarget]:
        yield page("b")
        raise RuntimeError("parser")

    with pytest.raises(RuntimeError):
        frontier.settle(page("a"), "read", found=broken())
    assert frontier.outcomes("page") == {}
    assert drain(frontier) == ["a"]


def test_a_second_crawl_of_the_folder_is_refused(tmp_path: Path) -> None:
    first = Frontier(tmp_path / "state")
    with pytest.raises(InputError, match="another crawl is writing"):
        Frontier(tmp_path / "state")
    first.close()
    Frontier(tmp_path / "state").close()


def test_a_file_of_another_format(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a data base, but long enough to be looked at" * 10)
    with pytest.raises(InputError, match="state: cannot be used"):
        Frontier(tmp_path / "state")
