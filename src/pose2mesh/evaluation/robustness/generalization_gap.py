"""Does a model overfit? Its error on clips it was trained on beside that on others, at equal difficulty.

For clip c let y_c be the mean logarithm of the model's error over its people, x_c that of the reference's, and v_c 1
for a validation clip and 0 for a training clip:

    y_c = a + b · x_c + g · v_c + r_c.

exp(g) is the gap: how many times larger the error is on clips that the model never saw and that are as hard. Its
interval is a residual bootstrap over clips: r_c, divided by √(1 − leverage), is drawn anew for every clip, from those
of its part, and the line fitted again. A part of few clips tells too little of how clips differ and draws from all.
Percentiles are widened as Student's t asks. A model overfits when the whole interval lies beyond the margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats: TypeAlias = NDArray[np.floating]

MARGIN = 0.20
DRAWS = 4000
LEVEL = 0.95
LEAST_CLIPS, LEAST_VALIDATION = 6, 4
LEAST_OWN = 8  # clips of a part that tell how its clips differ
_FIXED = 0.999  # a clip of such leverage has the fit pass through it: its residual says nothing


class ClipErrors(NamedTuple):
    """Of people in poses of clips: the model's errors and the reference's in mm, and the clip of each, all (P,)."""

    model: Floats
    reference: Floats
    clip: NDArray[np.integer]


@dataclass(frozen=True)
class Gap:
    """The gap between training and validation clips.

    Attributes:
        ratio, low, high: exp(g) and its 95% interval.
        plain_ratio: Of the mean errors, whatever the difficulty.
        difficulty_ratio: Of the reference's mean errors: above 1 the validation clips are harder.
        slope: b, by how many percent the model's error grows with one percent of difficulty.
        spread: Standard deviation of r_c: how much clips of equal difficulty differ all the same.
        train_clips, validation_clips: How many.
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
        """Whether the criterion is met."""
        return self.low > 1 + MARGIN


def clip_means(values: Floats, group: NDArray[np.integer]) -> NDArray[np.float64]:
    """Mean of the logarithms of `values` (P,) over each group."""
    _, index = np.unique(group, return_inverse=True)
    return np.asarray(np.bincount(index, np.log(np.maximum(values, 1e-6))) / np.bincount(index))


def measure_gap(train: ClipErrors, validation: ClipErrors, seed: int = 0) -> Gap | None:
    """Compare a model on training and validation clips.

    Args:
        train, validation: Of people of either part.
        seed: Of the bootstrap.

    Returns:
        None where there are fewer than six clips, or four to validate on: nothing would tell how clips differ.
    """
    y_train, y_validation = (clip_means(part.model, part.clip) for part in (train, validation))
    x = np.concatenate([clip_means(part.reference, part.clip) for part in (train, validation)])
    y = np.concatenate([y_train, y_validation])
    if len(y) < LEAST_CLIPS or len(y_validation) < LEAST_VALIDATION:
        return None
    unseen = np.concatenate([np.zeros(len(y_train)), np.ones(len(y_validation))])
    design = np.column_stack([np.ones(len(y)), x - x.mean(), unseen])
    inverse = np.linalg.pinv(design)
    _, slope, g = inverse @ y
    residual = y - design @ (inverse @ y)
    leverage = np.einsum("ci,ic->c", design, inverse)
    free = leverage < _FIXED
    residual[free] /= np.sqrt(1 - leverage[free])
    drawn, fewest = _draw_residuals(residual, free, unseen > 0, np.random.default_rng(seed))
    # Percentiles of a bootstrap over n are too near by Student's t with n − 1 degrees over the normal distribution.
    widened = stats.t.ppf((1 + LEVEL) / 2, fewest - 1) / stats.norm.ppf((1 + LEVEL) / 2)
    low, high = np.exp(g + widened * np.quantile(drawn @ inverse[2], ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
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


def _draw_residuals(
    residual: Floats, free: NDArray[np.bool_], unseen: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float64], int]:
    """(DRAWS, clips) residuals drawn with replacement, and from how few clips.

    Each part draws from its own clips where it has enough.
    """
    drawn, fewest = np.empty((DRAWS, len(residual))), len(residual)
    for part in (unseen, ~unseen):
        own = free & part
        pool = residual[own if own.sum() >= LEAST_OWN else free]
        fewest = min(fewest, len(pool))
        drawn[:, part] = rng.choice(pool - pool.mean(), size=(DRAWS, int(part.sum())))
    return drawn, fewest


def verdict(gap: Gap | None) -> str:
    """The criterion's answer in a sentence or two."""
    if gap is None:
        return (
            "Whether the model overfits cannot be said: that takes training and validation clips (`--motions` with "
            f"`--split`), at least {LEAST_VALIDATION} to validate on and {LEAST_CLIPS} in all."
        )
    measured = (
        f"at equal difficulty its error on validation clips is {gap.ratio:.2f} times that on training clips "
        f"(95% interval {gap.low:.2f} to {gap.high:.2f}, {gap.validation_clips} and {gap.train_clips} clips)"
    )
    limit = f"{1 + MARGIN:.2f}"
    if gap.overfits:
        return f"The model overfits: {measured}; the whole interval lies beyond {limit}."
    if gap.high >= 1 + MARGIN:
        better = " It does better on clips that it has seen, by an amount that is not certain." if gap.low > 1 else ""
        return f"The model is not shown to overfit: {measured}; the interval reaches across {limit}.{better}"
    better = (
        "It does better on clips that it has seen, but by less than the margin." if gap.low > 1 else "No gap shows."
    )
    return f"The model does not overfit: {measured}; the whole interval lies below {limit}. {better}"
