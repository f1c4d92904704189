"""Checks of `pose2mesh data check` that do not pose bodies: counts of faulty and suspicious records of a data set."""

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

BLOCK = 65_536  # records checked at a time
MAX_OUTSIDE_SHARE = 0.5  # share of a person's labelled joints
MAX_DISTANCE_M = 100.0  # a larger distance from the camera means that the unit is wrong


@dataclass(frozen=True)
class Finding:
    """A line of the table.

    Attributes:
        what: Description of what is counted.
        count: The number found.
        of: The number of records checked; None where it does not apply.
        wrong: Whether a count above zero is a fault of the data.
        example: The first one found.
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
    """Count records read and left out, missing images, and records with suspicious labels.

    Args:
        records: Read with `on_fault="skip"`.
        images: The folder that image names are relative to; None for a data set without images.
    """
    first = records.fault_messages[0] if records.fault_messages else ""
    findings = [
        Finding("people", len(records)),
        *(Finding(f"left out: {reason}", count) for reason, count in records.left_out.items()),
        Finding("faulty entries", records.faults, wrong=True, example=first),
        *image_findings(records, images),
    ]
    checked: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for start in range(0, len(records), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(records)))
        for what, applies, found in _label_findings(records, rows):
            checked[what] += int(applies.sum())
            flagged[what] += int(found.sum())
            if found.any():
                examples.setdefault(what, name_person(records, int(rows[found][0])))
    repeated = label_checks.repeated(np.asarray(records.image), np.asarray(records.box))
    findings += [
        Finding(what, flagged[what], count, what in _WRONG, examples.get(what, ""))
        for what, count in checked.items()
        if count
    ]
    example = name_person(records, int(repeated.nonzero()[0][0])) if repeated.any() else ""
    return [*findings, Finding("same box twice in an image", int(repeated.sum()), len(records), True, example)]


def image_findings(records: Records, images: Path | None) -> list[Finding]:
    """Number of missing image files; a single line if the whole folder is missing."""
    if images is None or not len(records.files):
        return []
    if not images.is_dir():
        return [Finding("images not checked", len(records.files), example=f"no folder {images}")]
    missing = [name for name in records.files if not (images / name).is_file()]
    return [
        Finding("missing images", len(missing), len(records.files), True, str(images / missing[0]) if missing else "")
    ]


# The checks below that find faults. Single joints may be outside the image, and a detector may err.
_OUTSIDE, _MIRRORED = "most labelled joints outside the image", "detected with left and right exchanged"
_CROSSED = "left and right look exchanged"
_SMALL, _LARGE = "too small: metres taken for millimetres?", "too large: millimetres taken for metres?"
_FAR = f"farther than {MAX_DISTANCE_M:.0f} m from the camera"
_WRONG = {_OUTSIDE, _CROSSED, _SMALL, _LARGE, _FAR}


def _label_findings(
    records: Records, rows: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield for each check its description, the mask (B,) of records that it applies to, and that of its findings."""
    schema = records.schema
    yield "without a body fit", np.ones(len(rows), bool), ~_column(records.body_valid, rows)
    if records.joints_px is not None:
        joints = records.joints_px[rows]
        share = label_checks.outside(joints, records.image_size[rows])
        known = np.isfinite(share)
        yield "a labelled joint outside the image", known, known & (share > 0)
        yield _OUTSIDE, known, known & (share > MAX_OUTSIDE_SHARE)
        if records.joints_m is None:  # data sets with 3D joints label hidden joints too
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
        yield _FAR, known, np.asarray(known & ~large & (distance > MAX_DISTANCE_M))
    if records.detected_px is not None:
        detected = records.detected_px[rows]
        has_detection = np.asarray((detected[..., 2] > 0).any(1))
        yield "no detection", np.ones(len(rows), bool), ~has_detection
        if records.joints_px is not None and schema.body != "mano":
            found, score = convert(detected[..., :2], detected[..., 2], schema.detected, COCO)
            true, visible = convert(records.joints_px[rows, :, :2], records.joints_px[rows, :, 2], schema.joints, COCO)
            both = (score > 0) & (visible > 0)
            yield _MIRRORED, has_detection, label_checks.mirrored(found, true, both, COCO.flip_permutation)


def _column(values: NDArray[np.bool_] | None, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.zeros(len(rows), bool) if values is None else np.asarray(values[rows])


def name_person(records: Records, row: int) -> str:
    """Name of a record in the table: the annotation's id, and the image or the sequence and frame."""
    where = ""
    if records.image[row] >= 0:
        where = f" in {records.files[int(records.image[row])]}"
    elif records.sequence[row] >= 0:
        where = f" in {records.sequences[int(records.sequence[row])]}, frame {records.frame[row]}"
    return f"annotation {records.annotation_id[row]}{where}"
