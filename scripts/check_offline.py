"""Check an installed wheel without a network: people from a photo, and from a film with the extra `video`.

    python scripts/check_offline.py ENVIRONMENT WHEEL [--photo examples/two_people.jpg]

ENVIRONMENT is a virtual environment into which the wheel has been installed without extras. That install is checked
first: its licences, its commands, a photo, and its messages about what it lacks. Then the extra `video` of the wheel is
installed, the one step with a network, and a film is recovered, a pan over the photo. Commands run in an empty home
directory and in a network namespace of their own (`unshare -rn`); where the kernel does not allow that, Python refuses
to open connections, and proxies point to a closed port. The script itself needs the extra `video`, to write the film.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
FILM_FRAMES, FILM_FPS, FILM_SIZE = 16, 12, (1152, 648)

# Put on the import path of every command where no network namespace can be made.
BLOCK = """
import socket

def refuse(*_, **__):
    raise OSError(101, "Network is unreachable: blocked by check_offline.py")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""

# Run inside the environment: name and licence of each distribution, as JSON. `License` may hold whole texts, those of
# bundled libraries included: its first line counts, and only where there is nothing better.
LIST_LICENCES = """
import importlib.metadata as metadata, json
rows = []
for each in metadata.distributions():
    info = each.metadata
    classifiers = [line for line in info.get_all("Classifier") or [] if line.startswith("License ::")]
    text = (info.get("License") or "").strip().split("\\n")[0]
    rows.append([info["Name"], info["License-Expression"] or " | ".join(classifiers) or text])
print(json.dumps(rows))
"""
# Words of licences that the default install must not have: the GPL family, and non-commercial ones. Parts inside wheels
# (libgfortran in SciPy's, GPL with the runtime exception) are not in this metadata.
FORBIDDEN = ("gpl", "general public", "affero", "non-commercial", "noncommercial", "by-nc", "research only")


class Environment:
    """A virtual environment whose commands run without a network.

    Args:
        folder: Of the environment.
        scratch: An empty folder: the working directory of the commands, with their home directory.
        in_namespace: Whether commands run in a network namespace of their own, else with connections refused in Python.
    """

    def __init__(self, folder: Path, scratch: Path, in_namespace: bool) -> None:
        self.folder, self.scratch = folder.absolute(), scratch
        home = scratch / "home"
        home.mkdir()
        self._variables = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "LANG": "C.UTF-8"}
        self._prefix = ["unshare", "-rn"] if in_namespace else []
        if not in_namespace:
            (scratch / "block").mkdir()
            (scratch / "block" / "sitecustomize.py").write_text(BLOCK, encoding="utf-8")
            closed = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
            self._variables |= {"PYTHONPATH": str(scratch / "block"), **closed}

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment without a network, in the scratch folder."""
        line = [*self._prefix, str(self.folder / "bin" / command), *arguments]
        return subprocess.run(
            line, env=self._variables, cwd=self.scratch, capture_output=True, text=True, check=False, timeout=600
        )

    def install(self, requirement: str) -> None:
        """Install with the network and the settings of the calling process."""
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([self.folder / "bin/pip", "install", "--quiet", *constraints, requirement], check=True)


def namespaces_work() -> bool:
    """Whether this process may run commands in a new network namespace."""
    try:
        return subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
    except OSError:  # no such command
        return False


def expect(is_true: bool, what: str, detail: object = "") -> None:
    """Print what was checked; end the script where it does not hold."""
    if not is_true:
        sys.exit(f"FAILED: {what}\n{detail}")
    print(f"ok: {what}", flush=True)


def expect_output(done: subprocess.CompletedProcess[str], what: str) -> None:
    expect(done.returncode == 0, what, f"status {done.returncode}\n{done.stdout}{done.stderr}")


def expect_message(done: subprocess.CompletedProcess[str], what: str, *parts: str) -> None:
    """Bad input: status 2, one line on standard error, which contains each of `parts`."""
    lines = done.stderr.strip().splitlines()
    holds = done.returncode == 2 and len(lines) == 1 and all(part in lines[0] for part in parts)
    expect(
        holds,
        f"{what}: {lines[0] if lines else ''}",
        f"status {done.returncode}, expected 2 and {parts}\n{done.stderr}",
    )


def check_licences(environment: Environment) -> None:
    done = environment.run("python", "-c", LIST_LICENCES)
    expect_output(done, "the licences of the installed packages can be listed")
    licences: dict[str, str] = dict(json.loads(done.stdout))
    unknown = [name for name, licence in licences.items() if not licence]
    expect(not unknown, f"each of the {len(licences)} packages states a licence", unknown)
    wrong = {name: licence for name, licence in licences.items() if any(word in licence.lower() for word in FORBIDDEN)}
    expect(not wrong, "none of them is of the GPL family or non-commercial", wrong)


def check_bodies(folder: Path, stem: str, patterns: tuple[str, ...]) -> None:
    """The results of an input: a JSON file with people, and files that are not empty."""
    people = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))["people"]
    expect(len(people) > 0, f"{stem}: {len(people)} people in {stem}.json")
    for pattern in patterns:
        found = [path for path in folder.glob(pattern) if path.stat().st_size > 0]
        expect(bool(found), f"{stem}: {', '.join(path.name for path in found)}", f"no file {pattern} in {folder}")


def write_film(path: Path, photo: Path) -> None:
    """A film of FILM_FRAMES frames: a window over the photo that moves to the right and closes in by a tenth."""
    from pose2mesh.pipelines.video.mp4_writer import Mp4Writer

    image = Image.open(photo).convert("RGB")
    writer = Mp4Writer(path, FILM_SIZE, Fraction(FILM_FPS))
    for part in np.linspace(0, 1, FILM_FRAMES):
        width = image.width * (0.9 - 0.09 * part)
        height = width * FILM_SIZE[1] / FILM_SIZE[0]
        left = (image.width - width) * (0.4 + 0.5 * part)
        window = (left, 0.5 * (image.height - height), left + width, 0.5 * (image.height + height))
        writer.write(np.asarray(image.resize(FILM_SIZE, Image.Resampling.BICUBIC, window)))
    writer.close()


def check_plain(environment: Environment, photo: Path, film: Path) -> None:
    """The install without extras: photos work; messages about the rest name one command or file."""
    expect_output(environment.run("python", "-m", "pip", "check"), "pip check")
    check_licences(environment)
    expect_output(environment.run("pose2mesh", "--help"), "pose2mesh --help")
    expect_output(environment.run("pose2mesh", "predict", str(photo), "--out", "photo"), f"predict {photo.name}")
    check_bodies(environment.scratch / "photo", photo.stem, ("*.obj", "*.glb", "*.npz", "*_overlay.png"))
    video = 'pip install "pose2mesh[video]"'
    expect_message(environment.run("pose2mesh", "predict", str(film), "--out", "none"), "predict film.mp4", video)
    for options, command in (
        (("--detector", "rtmpose"), 'pip install "pose2mesh[rtmpose]"'),
        (("--model", "spin"), 'pip install "pose2mesh[train]"'),
    ):
        done = environment.run("pose2mesh", "predict", str(photo), "--out", "none", *options)
        expect_message(done, " ".join(options), command)
    expect(not (environment.scratch / "none").exists(), "nothing is written where a command failed")


def check_video(environment: Environment, photo: Path, film: Path) -> None:
    """The install with the extra `video`."""
    expect_output(environment.run("python", "-m", "pip", "check"), "pip check with the extra video")
    done = environment.run("pose2mesh", "predict", str(film), "--out", "film")
    expect_output(done, f"predict {film.name}")
    check_bodies(environment.scratch / "film", film.stem, ("*.glb", "*.npz", "*.bvh", "*_overlay.mp4"))
    done = environment.run("pose2mesh", "predict", str(photo), "--out", "none", "--detector", "rtmpose")
    expect_message(done, "--detector rtmpose with its packages", "--detector-model FILE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--photo", type=Path, default=ROOT / "examples" / "two_people.jpg")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        in_namespace = namespaces_work()
        environment = Environment(arguments.environment, Path(name), in_namespace)
        how = "in a network namespace of their own" if in_namespace else "with connections refused and proxies closed"
        print(f"commands run {how}", flush=True)
        photo, film = arguments.photo.resolve(), Path(name) / "film.mp4"
        write_film(film, photo)
        check_plain(environment, photo, film)
        environment.install(f"{arguments.wheel.resolve()}[video]")
        check_video(environment, photo, film)


if __name__ == "__main__":
    main()
