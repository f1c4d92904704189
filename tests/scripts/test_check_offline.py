"""The check of a wheel without a network: what it counts as no network, as a licence, and as a message."""

from __future__ import annotations

import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import check_offline
import pytest

from pose2mesh.pipelines.video.frame_reader import Video

PHOTO = Path(__file__).parents[2] / "examples" / "two_people.jpg"
CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5)"


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("in_namespace", [True, False])
def test_commands_reach_no_server(tmp_path: Path, port: int, in_namespace: bool) -> None:
    if in_namespace and not check_offline.namespaces_work():
        pytest.skip("the kernel does not let this process make a network namespace")
    subprocess.run([sys.executable, "-c", CONNECT, str(port)], check=True)
    venv.create(tmp_path / "environment", with_pip=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = check_offline.Environment(tmp_path / "environment", scratch, in_namespace)
    done = environment.run("python", "-c", CONNECT, str(port))
    assert done.returncode == 1
    assert "Network is unreachable" in done.stderr
    assert environment.run("python", "-c", "print(1)").stdout == "1\n"


@pytest.mark.parametrize(
    ("licence", "is_allowed"),
    [
        ("BSD-3-Clause AND MIT", True),
        ("Apache-2.0 OR BSD-2-Clause", True),
        ("", False),
        ("GPL-3.0-or-later", False),
        ("LGPL-2.1", False),
        ("CC-BY-NC-4.0", False),
        ("License :: OSI Approved :: GNU Affero General Public License v3", False),
    ],
)
def test_licences(tmp_path: Path, licence: str, is_allowed: bool) -> None:
    class Installed(check_offline.Environment):
        def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess([command], 0, f'[["one", "{licence}"], ["two", "MIT"]]', "")

    if is_allowed:
        check_offline.check_licences(Installed(tmp_path, tmp_path, True))
    else:
        with pytest.raises(SystemExit, match="one"):
            check_offline.check_licences(Installed(tmp_path, tmp_path, True))


def test_a_message_is_one_line_with_status_2() -> None:
    def ended(status: int, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], status, "", text)

    check_offline.expect_message(ended(2, "pose2mesh: run `pip install x`\n"), "a message", "`pip install x`")
    for wrong in (ended(0, "`pip install x`"), ended(2, "`pip install y`"), ended(2, "Traceback\n`pip install x`")):
        with pytest.raises(SystemExit, match="a message"):
            check_offline.expect_message(wrong, "a message", "`pip install x`")


def test_the_film_pans_over_the_photo(tmp_path: Path) -> None:
    check_offline.write_film(tmp_path / "film.mp4", PHOTO)
    video = Video(tmp_path / "film.mp4")
    assert video.size == check_offline.FILM_SIZE
    assert len(list(video.frames())) == check_offline.FILM_FRAMES
