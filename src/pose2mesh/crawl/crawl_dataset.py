"""Data set folder of a crawl: images, a manifest of their origins, pseudo-labels and a contact sheet.

The manifest is authoritative: an image belongs to the data set once its line is complete. The other files are derived
from it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from pose2mesh.crawl.image_decoding import (
    DecodedImage,
    RejectedImage,
    blur_faces,
    decode_image,
    encode_jpeg,
    large_enough,
)
from pose2mesh.crawl.licences import Licence
from pose2mesh.crawl.urls import url_key
from pose2mesh.detectors.detection import Detection, Detector
from pose2mesh.errors import InputError
from pose2mesh.io.atomic_write import replacing
from pose2mesh.skeletons import COCO, COCO17

MANIFEST, ANNOTATIONS, SHEET, REMOVED, IMAGES = (
    "manifest.jsonl", "person_keypoints.json", "contact_sheet.png", "removed.jsonl", "images",
)  # fmt: skip
# Bits of 64 by which the perceptual hashes of near duplicates differ at most; measured in docs/crawl.md.
NEAR_BITS = 10
_SHEET_IMAGES = 60
_OWN_FILE = re.compile(r"\.?[0-9a-f]{16}\.(jpg|png|webp)(\.part)?")
_VISIBLE, _OCCLUDED = 0.5, 0.2


@dataclass(frozen=True)
class ImageOrigin:
    """Origin of an image; for one from disk `url` is its path and `page` is empty."""

    url: str
    page: str = ""
    licence: Licence = field(default_factory=Licence)


class Dataset:
    """A data set on disk, filled one image at a time.

    Args:
        folder: Created if missing; an existing data set is extended.
        detector: Detects people; None keeps every image that is large enough, without keypoints.
        blur: Blur faces before an image is written.

    Raises:
        InputError: the folder or its files cannot be created or read.
    """

    def __init__(self, folder: Path, detector: Detector | None = None, blur: bool = False) -> None:
        self.folder, self.detector, self.blur = folder, detector, blur
        try:
            (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made a folder for images ({error.strerror})") from error
        self.removed = _read_lines(folder / REMOVED)
        self.records = _read_lines(folder / MANIFEST)
        self._finish_removals()
        self._known = {record["sha256"] for record in (*self.records, *self.removed)}
        hashes = [int(record["phash"], 16) for record in (*self.records, *self.removed) if record["phash"]]
        self._hashes = np.array(hashes, np.uint64)
        self.urls = {url_key(record["url"]) for record in (*self.records, *self.removed)}
        self._drop_strays()

    def add(self, data: bytes, origin: ImageOrigin) -> None:
        """Add an image; it is on disk and in the manifest when this returns.

        Raises:
            RejectedImage: the image is not kept; the message is the reason.
            InputError: the disk is full or cannot be written.
        """
        digest = sha256(data).hexdigest()
        if digest in self._known:
            raise RejectedImage("duplicate")
        image = decode_image(data)
        if self._is_near(image.phash):
            raise RejectedImage("near duplicate")
        people = self.detector(image.pixels) if self.detector else []
        if self.detector and not any(map(large_enough, people)):
            raise RejectedImage("no person large enough")
        edits = [name for name, done in (("turned upright", image.turned), ("faces blurred", self.blur)) if done]
        pixels = blur_faces(image.pixels, people) if self.blur else image.pixels
        suffix = ".jpg" if edits else image.suffix
        record = _record(digest, suffix, image, origin, people, edits, len(data))
        try:
            with replacing(self.folder / record["file"]) as partial:
                partial.write_bytes(encode_jpeg(pixels) if edits else data)
            _append(self.folder / MANIFEST, record)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror})") from error
        self.records.append(record)
        self._known.add(digest)
        self._hashes = np.append(self._hashes, np.uint64(image.phash))
        self.urls.add(url_key(origin.url))

    def remove(self, wanted: Iterable[str]) -> int:
        """Delete images by id or URL and exclude them from later crawls; a URL may also be one that is not present.

        Returns:
            The number of deleted images.

        Raises:
            InputError: an id is unknown, or the disk cannot be written.
        """
        going: list[dict[str, Any]] = []
        for name in wanted:
            if "://" in name:
                key = _url_key_or_error(name)
                found = [each for each in self.records if url_key(each["url"]) == key]
                going += found or [{"url": name, "sha256": "", "phash": ""}]
                continue
            found = [each for each in self.records if each["id"] == name]
            if not found:
                raise InputError(f"--remove {name!r}: no image of {self.folder / MANIFEST} has this id")
            going += found
        try:
            # Recorded first: a kill in between leaves a removal to finish, not an image that is collected again.
            for record in going:
                _append(self.folder / REMOVED, {key: record[key] for key in ("url", "sha256", "phash")})
            gone = {record.get("id") for record in going}
            self.records = [record for record in self.records if record["id"] not in gone]
            self._rewrite_manifest()
            for record in going:
                if "file" in record:
                    (self.folder / record["file"]).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror})") from error
        self.write_results()
        return sum("file" in record for record in going)

    def write_results(self) -> None:
        """Write the COCO file and the contact sheet, which are derived from the manifest.

        Raises:
            InputError: the disk is full or cannot be written.
        """
        from pose2mesh.io.images import read_image
        from pose2mesh.io.mesh_files import atomic_write
        from pose2mesh.visualization.renderer import contact_sheet, draw_skeleton, save_image

        with atomic_write(self.folder / ANNOTATIONS) as file:
            file.write(json.dumps(coco_file(self.records), ensure_ascii=False).encode())
        if not self.records:
            (self.folder / SHEET).unlink(missing_ok=True)
            return
        edges = _edges()
        tiles, captions = [], []
        for record in self.records[:: -(-len(self.records) // _SHEET_IMAGES)]:
            image = read_image(self.folder / record["file"])
            for person in record["people"]:
                rows = np.array(person["keypoints"], np.float32)
                image = draw_skeleton(image, rows[:, :2], rows[:, 2], edges)
            tiles.append(_thumbnail(image))
            captions.append(f"{record['id'][:8]}  {record['licence']['name']}")
        save_image(self.folder / SHEET, contact_sheet(tiles, captions, columns=6, tile=(200, 200)))

    def _finish_removals(self) -> None:
        """Complete removals that a kill interrupted."""
        gone = {record["sha256"] for record in self.removed}
        if any(record["sha256"] in gone for record in self.records):
            self.records = [record for record in self.records if record["sha256"] not in gone]
            self._rewrite_manifest()

    def _rewrite_manifest(self) -> None:
        try:
            with replacing(self.folder / MANIFEST) as partial:
                partial.write_text("".join(map(_line, self.records)), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror})") from error

    def _is_near(self, phash: int) -> bool:
        return bool((np.bitwise_count(self._hashes ^ np.uint64(phash)) <= NEAR_BITS).any())

    def _drop_strays(self) -> None:
        """Delete image files without a line in the manifest, left by a kill."""
        kept = {record["file"] for record in self.records}
        for file in (self.folder / IMAGES).iterdir():
            if _OWN_FILE.fullmatch(file.name) and f"{IMAGES}/{file.name}" not in kept:
                file.unlink()


def coco_file(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The people of a manifest as COCO keypoint annotations.

    `keypoints` holds COCO's flags: 2 from a confidence of 0.5, 1 from 0.2, else 0 with the joint at (0, 0);
    `keypoint_scores` the confidences themselves. The image id is derived from the bytes, so that it survives removals.
    """
    names = list(dict.fromkeys(record["licence"]["name"] for record in records))
    licences = [{"id": index, "name": name} for index, name in enumerate(names)]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for record in records:
        number = int(record["id"][:12], 16)
        images.append(
            {
                "id": number,
                "file_name": Path(record["file"]).name,
                "width": record["width"],
                "height": record["height"],
                "license": names.index(record["licence"]["name"]),
                "coco_url": record["url"],
            }
        )
        for person in record["people"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **_annotation(person)})
    skeleton = [[a + 1, b + 1] for a, b in _edges()]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17), "skeleton": skeleton}
    info = {"description": "Images with pseudo-labels: the keypoints are a detector's, not an annotator's"}
    return {"info": info, "licenses": licences, "images": images, "annotations": annotations, "categories": [category]}


def _annotation(person: dict[str, Any]) -> dict[str, Any]:
    left, top, right, bottom = person["box"]
    flat: list[float] = []
    for x, y, confidence in person["keypoints"]:
        flag = 2 if confidence >= _VISIBLE else 1 if confidence >= _OCCLUDED else 0
        flat += [x, y, flag] if flag else [0, 0, 0]
    return {
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": flat,
        "keypoint_scores": [row[2] for row in person["keypoints"]],
        "num_keypoints": sum(flag > 0 for flag in flat[2::3]),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "score": person["score"],
    }


def _url_key_or_error(url: str) -> str:
    try:
        return url_key(url)
    except ValueError as error:
        raise InputError(f"--remove {url!r}: is not a URL") from error


def _edges() -> list[tuple[int, int]]:
    return [(a, b) for a, b in COCO.edges if max(a, b) < len(COCO17)]


def _record(
    digest: str,
    suffix: str,
    image: DecodedImage,
    origin: ImageOrigin,
    people: list[Detection],
    edits: list[str],
    size: int,
) -> dict[str, Any]:
    height, width = image.pixels.shape[:2]
    return {
        "id": digest[:16], "file": f"{IMAGES}/{digest[:16]}{suffix}", "url": origin.url, "page": origin.page,
        "licence": asdict(origin.licence), "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "width": width, "height": height, "bytes": size, "sha256": digest, "phash": f"{image.phash:016x}",
        "edits": edits, "people": [_person(person) for person in people],
    }  # fmt: skip


def _person(person: Detection) -> dict[str, Any]:
    rows = np.column_stack([person.joints_px, person.confidence]).astype(float)
    rows[~np.isfinite(rows).all(axis=1) | (rows[:, 2] <= 0)] = 0
    box = [round(float(side), 2) for side in person.box_px]
    keypoints = [[round(x, 2), round(y, 2), round(confidence, 4)] for x, y, confidence in rows.tolist()]
    return {"keypoints": keypoints, "box": box, "score": round(float(person.score), 4)}


def _thumbnail(image: np.ndarray) -> np.ndarray:
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.contain(Image.fromarray(image), (200, 200)))


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _append(path: Path, record: dict[str, Any]) -> None:
    """Append a line atomically and flush it to disk."""
    with open(path, "ab") as file:
        before = file.tell()
        try:
            file.write(_line(record).encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Records of a JSON Lines file; an incomplete last line, left by a kill, is cut off."""
    try:
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(path, len(whole))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    records = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            record = json.loads(line)
            int(record["phash"] or "0", 16), record["url"], record["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} is not one of a crawl's; expected JSON with url and sha256"
            ) from error
        records.append(record)
    return records
