"""`pose2mesh data check`: contents and label faults of a data set, as a table and a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.gendered import BodyConfig, GenderedBody, open_body
from pose2mesh.body_models.smpl import Variant
from pose2mesh.datasets.records import Records
from pose2mesh.errors import InputError
from pose2mesh.evaluation.dataset_checks.check_options import CheckOptions
from pose2mesh.evaluation.dataset_checks.contact_sheet import SheetSample, write_sheet
from pose2mesh.evaluation.dataset_checks.findings import Finding, record_findings
from pose2mesh.evaluation.dataset_checks.fit_checks import DatasetFits, FitErrors
from pose2mesh.evaluation.dataset_checks.folder_layout import DatasetSplit, config_parts, recognise
from pose2mesh.io.downloads import cache_folder


def check_dataset(path: Path, options: CheckOptions, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Check every split of a data set, and report what was found.

    Args:
        path: A data set's folder, a keypoint file in COCO format, or a training config (.yaml).
        options: Options of the checks.
        say, warn: Callbacks for lines of standard output and standard error.

    Returns:
        The exit status: 0 without faults, 1 with at least one.

    Raises:
        InputError: an option or a body model cannot be used, or no split can be read.
    """
    options.check()
    parts, models, cache = _splits_to_check(path, options)
    sheet_samples: list[SheetSample] = []
    unread: list[InputError] = []
    wrong = False
    for part in parts:
        try:
            records = part.open(cache)
        except InputError as error:
            unread.append(error)
            warn(f"pose2mesh: {error}")
            continue
        images = options.images or part.images
        findings = record_findings(records, images)
        fits, errors = None, None
        if models is not None and records.body_valid is not None and records.body_valid.any():
            fits = DatasetFits(records, _body(models, records))
            errors = fits.evaluate(fits.sample_rows(options.samples, options.seed), options.fit_limit_mm)
            findings += errors.findings(records)
        elif records.body_valid is not None and records.body_valid.any():
            findings.append(Finding("fits not checked", int(records.body_valid.sum()), example="give --models"))
        wrong |= any(finding.is_fault for finding in findings)
        say(table(part.title, findings))
        if options.sheet is not None:
            sheet_samples += _choose(part.title, records, fits, errors, images, options)
    if len(unread) == len(parts):
        raise unread[0]
    if options.sheet is not None and sheet_samples:
        write_sheet(options.sheet, sheet_samples)
        say(f"{len(sheet_samples)} samples drawn in {options.sheet}")
    return 1 if wrong or unread else 0


def _splits_to_check(path: Path, options: CheckOptions) -> tuple[list[DatasetSplit], BodyConfig | None, Path]:
    """The splits, the configuration of the body models if given, and the cache folder."""
    cache = options.cache or cache_folder() / "sets"
    models = None if options.models is None else BodyConfig("smpl", str(options.models))
    if path.suffix.lower() not in (".yaml", ".yml"):
        if options.overrides:
            raise InputError(f"--set: goes with a config, which {path} is not")
        return recognise(path), models, cache
    from pose2mesh.config.train_config import load_config

    data = load_config(path, list(options.overrides)).data
    if models is None and data.body.folder is not None:
        models = data.body
    if options.cache is None and data.cache is not None:
        cache = Path(data.cache)
    return config_parts(data, path), models, cache


def _body(models: BodyConfig, records: Records) -> GenderedBody:
    """The body models of the genders in the records."""
    if records.schema.body == "mano":
        return open_body(replace(models, model="mano", variant=models.variant if models.model == "mano" else None))
    variants: dict[int, Variant] = {0: "neutral", 1: "male", 2: "female"}
    genders: list[int] = np.unique(records.gender).tolist() if records.gender is not None else []
    used = {number: variants[number] for number in genders}
    variant = models.variant if models.model == "smpl" else None
    # Without a neutral sample, the neutral file is not needed.
    first = variant or (next(iter(used.values())) if used and 0 not in used else "neutral")
    return open_body(replace(models, model="smpl", variant=first), used)


def table(title: str, findings: Sequence[Finding]) -> str:
    """Findings in columns; faults are marked with an exclamation mark."""
    width = max(len(finding.what) for finding in findings)
    lines = [title]
    for finding in findings:
        share = "" if not finding.of else f"{100 * finding.count / finding.of:5.1f} % of {finding.of:,}"
        line = f"{'!' if finding.is_fault else ' '} {finding.what:{width}} {finding.count:>11,}  {share:22}"
        lines.append(f"{line}  {finding.example}".rstrip())
    return "\n".join(lines) + "\n"


def _choose(
    title: str,
    records: Records,
    fits: DatasetFits | None,
    errors: FitErrors | None,
    images: Path | None,
    options: CheckOptions,
) -> list[SheetSample]:
    """Samples on the sheet: first those with the worst fits, half of them at most, then others at random."""
    rng = np.random.default_rng(options.seed)
    worst: NDArray[np.int64] = np.zeros(0, np.int64)
    fit_errors: dict[int, str] = {}
    if errors is not None and np.isfinite(errors.error).any():
        order = np.argsort(-np.nan_to_num(errors.error, nan=-1.0))
        worst = errors.rows[order[: options.shown // 2]]
        fit_errors = dict(
            zip(errors.rows.tolist(), (f"{error:.0f} {errors.unit[:2]}" for error in errors.error), strict=True)
        )
    others = np.setdiff1d(np.arange(len(records)) if errors is None else errors.rows, worst)
    others = rng.permutation(others)[: options.shown - len(worst)]
    samples = []
    for row in np.concatenate([worst, others]).tolist():
        name = ", ".join(filter(None, (str(records.annotation_id[row]), fit_errors.get(row, ""), title)))
        image_file = None
        if images is not None and records.image[row] >= 0:
            file = images / records.files[int(records.image[row])]
            image_file = file if file.is_file() else None
        samples.append(
            SheetSample(
                caption=name,
                joints_px=np.zeros((0, 3)) if records.joints_px is None else np.array(records.joints_px[row], float),
                names=records.schema.joints if records.joints_px is not None else (),
                image_file=image_file,
                size=(int(records.image_size[row, 0]), int(records.image_size[row, 1])),
                mesh=None if fits is None else fits.project(row),
            )
        )
    return samples
