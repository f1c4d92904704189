"""Generalization gap: the error of a model on validation clips relative to training clips of equal difficulty.

For clip c let y_c be the mean logarithm of the model's error over its samples, x_c that of the reference's, and v_c 1
for a validation clip and 0 for a training clip:

    y_c = a + b · x_c + g · v_c + r_c.

exp(g) is the gap: the ratio of the error on clips outside the training data to that on training clips of the same
difficulty. Its interval is a residual bootstrap over clips: r_c, divided by √(1 − leverage), is resampled for every
clip among the clips of its part, and the line is fitted again. A part with few clips does not show how clips differ and
resamples from all. The percentiles are widened by Student's t. A model overfits if the whole interval is above the
margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats: TypeAlias = NDArray[np.floating]

MARGIN = 0.20
RESAMPLES = 4000
LEVEL = 0.95
MIN_CLIPS, MIN_VALIDATION_CLIPS = 6, 4
MIN_OWN_CLIPS = 8  # fewer clips of a part do not show how its clips differ
_FIXED = 0.999  # the fit passes through a clip of such leverage, so that its residual carries no information


class ClipErrors(NamedTuple):
    """Errors of the model and of the reference in mm, and the clip of each sample, all (P,)."""

    model: Floats
    reference: Floats
    clip: NDArray[np.integer]


@dataclass(frozen=True)
class Gap:
    """The gap between training and validation clips.

    Attributes:
        ratio, low, high: exp(g) and its 95% interval.
        plain_ratio: Ratio of the mean errors, without regard to difficulty.
        difficulty_ratio: Ratio of the reference's mean errors; above 1 the validation clips are harder.
        slope: b, the growth of the model's error in percent per percent of difficulty.
        spread: Standard deviation of r_c, the difference between clips of equal difficulty.
        train_clips, validation_clips: Numbers of clips.
    """

    ratio: float
    low: float
    high: float
    plain_ratio: float
    difficulty_ratio: float
    slope: float
    spread: float
    train_clips: int
    validation_clips: int

    @property
    def overfits(self) -> bool:
        """Whether the whole interval is above the margin."""
        return self.low > 1 + MARGIN


def clip_means(values: Floats, group: NDArray[np.integer]) -> NDArray[np.float64]:
    """Mean of the logarithms of `values` (P,) over each group."""
    _, index = np.unique(group, return_inverse=True)
    return np.asarray(np.bincount(index, np.log(np.maximum(values, 1e-6))) / np.bincount(index))


def measure_gap(train: ClipErrors, validation: ClipErrors, seed: int = 0) -> Gap | None:
    """Compare a model on training and validation clips.

    Args:
        train, validation: Errors on the training and on the validation clips.
        seed: Seed of the bootstrap.

    Returns:
        The gap; None with fewer than six clips, or fewer than four validation clips, which do not show how clips
        differ.
    """
    y_train, y_validation = (clip_means(part.model, part.clip) for part in (train, validation))
    x = np.concatenate([clip_means(part.reference, part.clip) for part in (train, validation)])
    y = np.concatenate([y_train, y_validation])
    if len(y) < MIN_CLIPS or len(y_validation) < MIN_VALIDATION_CLIPS:
        return None
    is_validation = np.concatenate([np.zeros(len(y_train)), np.ones(len(y_validation))])
    design = np.column_stack([np.ones(len(y)), x - x.mean(), is_validation])
    inverse = np.linalg.pinv(design)
    _, slope, g = inverse @ y
    residual = y - design @ (inverse @ y)
    leverage = np.einsum("ci,ic->c", design, inverse)
    free = leverage < _FIXED
    residual[free] /= np.sqrt(1 - leverage[free])
    resampled, fewest = _resample_residuals(residual, free, is_validation > 0, np.random.default_rng(seed))
    # Percentiles of a bootstrap over n are too narrow by the ratio of Student's t with n − 1 degrees of freedom to the
    # normal distribution.
    widened = stats.t.ppf((1 + LEVEL) / 2, fewest - 1) / stats.norm.ppf((1 + LEVEL) / 2)
    low, high = np.exp(g + widened * np.quantile(resampled @ inverse[2], ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
    return Gap(
        float(np.exp(g)),
        float(low),
        float(high),
        float(validation.model.mean() / train.model.mean()),
        float(validation.reference.mean() / train.reference.mean()),
        float(slope),
        float(residual[free].std()),
        len(y_train),
        len(y_validation),
    )


def _resample_residuals(
    residual: Floats, free: NDArray[np.bool_], is_validation: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float64], int]:
    """Residuals (RESAMPLES, clips) resampled with replacement, and the size of the smallest pool of clips.

    Each part resamples from its own clips if it has enough.
    """
    resampled, fewest = np.empty((RESAMPLES, len(residual))), len(residual)
    for part in (is_validation, ~is_validation):
        own = free & part
        pool = residual[own if own.sum() >= MIN_OWN_CLIPS else free]
        fewest = min(fewest, len(pool))
        resampled[:, part] = rng.choice(pool - pool.mean(), size=(RESAMPLES, int(part.sum())))
    return resampled, fewest


def verdict(gap: Gap | None) -> str:
    """Result of the criterion in one or two sentences."""
    if gap is None:
        return (
            "Overfitting cannot be assessed: it needs training and validation clips (`--motions` with `--split`), at "
            f"least {MIN_VALIDATION_CLIPS} for validation and {MIN_CLIPS} in all."
        )
    measured = (
        f"at equal difficulty its error on validation clips is {gap.ratio:.2f} times that on training clips "
        f"(95% interval {gap.low:.2f} to {gap.high:.2f}, {gap.validation_clips} and {gap.train_clips} clips)"
    )
    limit = f"{1 + MARGIN:.2f}"
    if gap.overfits:
        return f"The model overfits: {measured}; the whole interval is above {limit}."
    if gap.high >= 1 + MARGIN:
        better = " It does better on its training clips, by an uncertain amount." if gap.low > 1 else ""
        return f"The model is not shown to overfit: {measured}; the interval includes {limit}.{better}"
    better = "It does better on its training clips, but by less than the margin." if gap.low > 1 else "No gap is found."
    return f"The model does not overfit: {measured}; the whole interval is below {limit}. {better}"
