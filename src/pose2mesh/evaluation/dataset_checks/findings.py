"""What `pose2mesh data check` finds in the records of a data set, without posing anybody: a line for each question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.datasets import label_checks
from pose2mesh.datasets.records import Records
from pose2mesh.skeletons import COCO, convert

BLOCK = 65_536  # people looked at at once
MOST = 0.5  # of a person's labelled joints
FARTHEST_M = 100.0  # anybody farther than that from the camera is in another unit


@dataclass(frozen=True)
class Finding:
    """A line of the table.

    Attributes:
        what: What is counted.
        count: How many.
        of: Of how many; None where that says nothing.
        wrong: Whether it is a fault of the data, if there are any.
        example: The first of them.
    """

    what: str
    count: int
    of: int | None = None
    wrong: bool = False
    example: str = ""

    @property
    def is_fault(self) -> bool:
        return self.wrong and self.count > 0


def record_findings(records: Records, images: Path | None) -> list[Finding]:
    """What was read and what was not, images that are not there, and people whose labels look wrong.

    Args:
        records: Read with `on_fault="skip"`.
        images: The folder that image names are relative to; None where there are none.
    """
    first = records.fault_messages[0] if records.fault_messages else ""
    findings = [
        Finding("people", len(records)),
        *(Finding(f"left out: {reason}", count) for reason, count in records.left_out.items()),
        Finding("faulty entries", records.faults, wrong=True, example=first),
        *image_findings(records, images),
    ]
    looked: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for start in range(0, len(records), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(records)))
        for what, of_whom, who in _questions(records, rows):
            looked[what] += int(of_whom.sum())
            flagged[what] += int(who.sum())
            if who.any():
                examples.setdefault(what, name_person(records, int(rows[who][0])))
    again = label_checks.repeated(np.asarray(records.image), np.asarray(records.box))
    findings += [
        Finding(what, flagged[what], asked, what in _WRONG, examples.get(what, ""))
        for what, asked in looked.items()
        if asked
    ]
    example = name_person(records, int(again.nonzero()[0][0])) if again.any() else ""
    return [*findings, Finding("same box twice in an image", int(again.sum()), len(records), True, example)]


def image_findings(records: Records, images: Path | None) -> list[Finding]:
    """How many image files are not there; where the whole folder is not, nothing is told of single ones."""
    if images is None or not len(records.files):
        return []
    if not images.is_dir():
        return [Finding("images not looked at", len(records.files), example=f"no folder {images}")]
    missing = [name for name in records.files if not (images / name).is_file()]
    return [
        Finding("missing images", len(missing), len(records.files), True, str(images / missing[0]) if missing else "")
    ]


# What of the questions below is a fault. A joint may be outside the picture, and a detector may err.
_OUTSIDE, _MIRRORED = "most labelled joints outside the picture", "detected with left and right exchanged"
_CROSSED = "left and right look exchanged"
_SMALL, _LARGE = "too small: metres taken for millimetres?", "too large: millimetres taken for metres?"
_FAR = f"farther than {FARTHEST_M:.0f} m from the camera"
_WRONG = {_OUTSIDE, _CROSSED, _SMALL, _LARGE, _FAR}


def _questions(records: Records, rows: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """What is asked, (B,) who can be asked, (B,) of whom it is so."""
    schema = records.schema
    yield "without a body fit", np.ones(len(rows), bool), ~_column(records.body_valid, rows)
    if records.joints_px is not None:
        joints = records.joints_px[rows]
        share = label_checks.outside(joints, records.image_size[rows])
        known = np.isfinite(share)
        yield "a labelled joint outside the picture", known, known & (share > 0)
        yield _OUTSIDE, known, known & (share > MOST)
        if records.joints_m is None:  # else joints are labelled where they are hidden, too
            yield _CROSSED, np.ones(len(rows), bool), label_checks.crossed(joints, schema.joints)
    if records.joints_m is not None and records.joints_valid is not None:
        joints_m, valid = records.joints_m[rows], records.joints_valid[rows]
        extent = label_checks.extent_m(joints_m, valid)
        known = np.isfinite(extent)
        small, large = label_checks.implausible_size(extent, "hand" if schema.body == "mano" else "body")
        yield _CROSSED, np.ones(len(rows), bool), label_checks.backwards(joints_m, valid, schema.joints)
        yield _SMALL, known, small
        yield _LARGE, known, large
        distance = np.where(valid, np.linalg.norm(joints_m, axis=-1), 0).max(1)
        yield _FAR, known, np.asarray(known & ~large & (distance > FARTHEST_M))
    if records.detected_px is not None:
        detected = records.detected_px[rows]
        seen = np.asarray((detected[..., 2] > 0).any(1))
        yield "no detection", np.ones(len(rows), bool), ~seen
        if records.joints_px is not None and schema.body != "mano":
            found, score = convert(detected[..., :2], detected[..., 2], schema.detected, COCO)
            true, visible = convert(records.joints_px[rows, :, :2], records.joints_px[rows, :, 2], schema.joints, COCO)
            both = (score > 0) & (visible > 0)
            yield _MIRRORED, seen, label_checks.mirrored(found, true, both, COCO.flip_permutation)


def _column(values: NDArray[np.bool_] | None, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.zeros(len(rows), bool) if values is None else np.asarray(values[rows])


def name_person(records: Records, row: int) -> str:
    """How a person is called in the table: the annotation's id, and the image or the sequence and frame."""
    where = ""
    if records.image[row] >= 0:
        where = f" in {records.files[int(records.image[row])]}"
    elif records.sequence[row] >= 0:
        where = f" in {records.sequences[int(records.sequence[row])]}, frame {records.frame[row]}"
    return f"annotation {records.annotation_id[row]}{where}"
