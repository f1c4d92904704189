"""Download of model files on first use, with checksums, resumption and a cache.

The cache is the folder `POSE2MESH_CACHE`, by default `pose2mesh` in the user's cache folder. With `POSE2MESH_OFFLINE=1`
nothing is downloaded. An interrupted transfer resumes where it stopped, in the same run or in the next.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pose2mesh.errors import InputError, one_line
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.extras import require

ATTEMPTS = 8  # each with some progress; the next run resumes from there
TIMEOUT_S = 30.0
_BLOCK = 1 << 16

_OPENMMLAB = "https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk"


@dataclass(frozen=True)
class ModelFile:
    """A file on a public server.

    Attributes:
        name: File name in the cache.
        url: Address of the file, or of the zip archive that contains it.
        size: Size of the file itself in bytes.
        sha256: Its SHA-256 digest in hex.
        member: Its name in any folder of the archive; None where `url` is the file itself.
        licence: Its licence.
    """

    name: str
    url: str
    size: int
    sha256: str
    member: str | None = None
    licence: str = "Apache-2.0"


MODEL_FILES: dict[str, ModelFile] = {
    "yolox": ModelFile(
        "yolox_m_8xb8-300e_humanart-c2c7a14a.onnx",
        f"{_OPENMMLAB}/yolox_m_8xb8-300e_humanart-c2c7a14a.zip",
        101_400_344,
        "3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23",
        member="end2end.onnx",
    ),
    "rtmpose": ModelFile(
        "rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.onnx",
        f"{_OPENMMLAB}/rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.zip",
        54_330_655,
        "5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
        member="end2end.onnx",
    ),
}


def cache_folder() -> Path:
    """Folder of the cache: `POSE2MESH_CACHE`, by default `pose2mesh` in the user's cache folder (XDG, or Windows')."""
    if named := os.environ.get("POSE2MESH_CACHE"):
        return Path(named).expanduser()
    users = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(users) if users else Path.home() / ".cache") / "pose2mesh"


def find_cached(key: str) -> Path | None:
    """A file of `MODEL_FILES` if it is in the cache; its digest was checked at the download, now its size is."""
    file = MODEL_FILES[key]
    path = cache_folder() / file.name
    return path if path.is_file() and path.stat().st_size == file.size else None


def fetch(key: str, offline: bool = False) -> Path:
    """A file of `MODEL_FILES`, downloaded if it is not in the cache.

    Args:
        key: Its key.
        offline: Download nothing; so does `POSE2MESH_OFFLINE=1`.

    Raises:
        InputError: it is not in the cache and downloads are off, the server cannot be reached or sends another file, or
            the cache cannot be written, or the extra `rtmpose` is not installed.
    """
    if (found := find_cached(key)) is not None:
        return found
    file, folder = MODEL_FILES[key], cache_folder()
    if offline or os.environ.get("POSE2MESH_OFFLINE", "0") not in ("", "0"):
        raise InputError(f"{file.name}: is not in {folder}, and nothing is downloaded when offline; {_by_hand(file)}")
    for library in ("filelock", "tqdm"):
        require(library, "rtmpose")
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{file.name}.lock"):
            if find_cached(key) is None:  # another process may have downloaded it meanwhile
                partial = folder / f".{file.name}.download"
                _download(file, partial)
                _install(file, partial, folder / file.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error}); see POSE2MESH_CACHE") from error
    return folder / file.name


def _by_hand(file: ModelFile) -> str:
    what = "it" if file.member is None else f"{file.member} out of it"
    return f"fetch {file.url} elsewhere and hand {what} over with --detector-model FILE"


def _download(file: ModelFile, partial: Path) -> None:
    """Download `file.url` to `partial`, resuming from its present size.

    Raises:
        InputError: the server refuses or cannot be reached, or the transfer is interrupted repeatedly.
    """
    reason = "the connection was cut"
    for _ in range(ATTEMPTS):
        before = _size(partial)
        try:
            if _transfer(file, partial):
                return
        except HTTPError as error:
            if error.code == 416 and partial.exists():  # no such bytes: the partial file belongs to another file
                partial.unlink()
                continue
            raise InputError(f"{file.url}: the server sent {error.code} {error.reason}; {_by_hand(file)}") from error
        except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
            reason = one_line(getattr(error, "reason", error))
        if _size(partial) == before:
            break
    raise InputError(f"{file.url}: cannot be downloaded ({reason}); {_by_hand(file)}")


def _transfer(file: ModelFile, partial: Path) -> bool:
    """One request for the missing part of `partial`. Returns whether it is complete now.

    With `If-Range` (RFC 9110, 13.1.5) the server sends the whole file if it has changed since the first request.
    """
    from tqdm import tqdm

    begun = partial.with_name(partial.name + ".etag")
    request = Request(file.url, headers={"User-Agent": "pose2mesh"})
    start = _size(partial) if begun.exists() else 0
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", begun.read_text(encoding="utf-8"))
    with urlopen(request, timeout=TIMEOUT_S) as response:
        headers = response.headers
        if response.status == 206 and not headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            partial.unlink()  # not the requested part; start over
            return False
        if response.status != 206:
            start = 0
            partial.unlink(missing_ok=True)
            begun.unlink(missing_ok=True)
            version = headers.get("ETag") or headers.get("Last-Modified")
            if version and not version.startswith("W/"):
                begun.write_text(version, encoding="utf-8")
        length = headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with (
            partial.open("ab") as out,
            tqdm(total=total, initial=start, desc=file.name, unit="B", unit_scale=True, disable=None) as bar,
        ):
            while block := response.read(_BLOCK):
                out.write(block)
                bar.update(len(block))
    return total is None or _size(partial) == total


def _install(file: ModelFile, partial: Path, target: Path) -> None:
    """Check the downloaded file and move it into the cache, or remove it.

    Raises:
        InputError: it is another file.
    """
    try:
        with replacing(target) as whole:
            if file.member is None:
                os.replace(partial, whole)
            else:
                _extract(partial, file.member, whole)
            digest = _sha256(whole)
            if digest != file.sha256:
                raise InputError(
                    f"{file.url}: sends another file than expected ({_size(whole)} bytes, SHA-256 {digest}; expected "
                    f"{file.size} bytes, {file.sha256}); {_by_hand(file)}"
                )
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{file.url}: sends no archive with {file.member} ({one_line(error)})") from error
    finally:
        partial.unlink(missing_ok=True)
        partial.with_name(partial.name + ".etag").unlink(missing_ok=True)


def _extract(archive: Path, member: str, target: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if PurePosixPath(name).name == member]
        if not names:
            raise KeyError(f"it holds {', '.join(opened.namelist()[:5])}")
        with opened.open(names[0]) as source, target.open("wb") as out:
            while block := source.read(_BLOCK):
                out.write(block)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
