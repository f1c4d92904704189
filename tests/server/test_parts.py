"""Unit tests of the queue, the result store and safe file names."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from starlette.exceptions import HTTPException

from pose2mesh.server.request_limits import RequestLimits
from pose2mesh.server.result_store import Frames, ResultStore
from pose2mesh.server.uploads import free_name, safe_stem
from pose2mesh.server.worker import Deadline, Worker
from pose2mesh.visualization.image_result import ImageResult


def picture() -> ImageResult:
    return ImageResult("x", "x", None, None, [], [], [])


def test_a_full_queue_refuses_at_once_and_loses_no_queued_request() -> None:
    async def run() -> tuple[list[int], int]:
        worker, go = Worker(2, 10), threading.Event()
        first = [asyncio.create_task(worker.run(lambda _, n=n: (go.wait(600), n)[1])) for n in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(HTTPException) as refused:
            await worker.run(lambda _: 0)
        go.set()
        answers = await asyncio.gather(*first)
        await asyncio.sleep(0.05)
        assert worker.pending == 0
        assert await worker.run(lambda _: 7) == 7
        worker.close()
        assert refused.value.headers == {"Retry-After": "2"}
        return answers, refused.value.status_code

    assert asyncio.run(run()) == ([0, 1, 2], 503)


def test_work_that_takes_too_long_is_given_up() -> None:
    async def run() -> None:
        worker, ended = Worker(2, 0.1), threading.Event()

        def slow(deadline: Deadline) -> None:
            time.sleep(0.3)
            ended.set()
            deadline.check()
            raise AssertionError("its time was over")

        tasks = [asyncio.create_task(worker.run(slow)), asyncio.create_task(worker.run(lambda _: None))]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [error.status_code for error in found if isinstance(error, HTTPException)] == [503, 503]
        assert ended.wait(600)
        await asyncio.sleep(0.05)
        assert worker.pending == 0
        worker.close()

    asyncio.run(run())


def test_an_error_of_the_work_is_the_requests_own() -> None:
    async def run() -> None:
        worker = Worker(2, 5)
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda _: 1 / 0)
        assert await worker.run(lambda _: 1) == 1
        worker.close()

    asyncio.run(run())


def test_the_oldest_result_goes_when_there_are_too_many() -> None:
    store = ResultStore(RequestLimits(results=2))
    kept = [store.add(Frames([picture()])).identifier for _ in range(3)]
    assert len(store) == 2
    assert store.get(kept[2]).frames.images[0].stem == "x"
    with pytest.raises(HTTPException) as missing:
        store.get(kept[0])
    assert missing.value.status_code == 404


def test_results_are_forgotten_after_their_time() -> None:
    now = [0.0]
    store = ResultStore(RequestLimits(result_seconds=10), lambda: now[0])
    identifier = store.add(Frames([picture()])).identifier
    now[0] = 9
    assert store.get(identifier)
    now[0] = 10
    assert len(store) == 0


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("photo.jpg", "photo"), ("../../etc/passwd", "passwd"), ("C:\\a\\b.png", "b"), ("..", "upload"), ("", "upload"),
        ("a b;c.json", "a_b_c"), ("überall.png", "berall"), (".hidden", "upload"), ("x" * 200, "x" * 60),
        ("a\r\nb\x00.jpg", "a_b"), ("two.dots.npz", "two_dots"), ("-rf", "rf"),
    ],
)  # fmt: skip
def test_names_are_plain(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


def test_names_are_unique() -> None:
    taken: set[str] = set()
    assert [free_name("a", taken) for _ in range(3)] == ["a", "a_2", "a_3"]
