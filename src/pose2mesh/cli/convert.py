"""`pose2mesh convert`."""

from __future__ import annotations

from pathlib import Path

from pose2mesh.cli.console import say


def convert(checkpoint: Path, /, *, config: Path, out: Path) -> int:
    """Convert a checkpoint published with the reference implementation into a bundle; no code in the file is executed.

    Parameters
    ----------
    checkpoint
        The .pth.tar file of its PoseNet or whole network.
    config
        A training config: joint set, sizes, and with `stage` what is converted.
    out
        The bundle.
    """
    from pose2mesh.training.convert_checkpoint import convert_checkpoint

    say(str(convert_checkpoint(checkpoint, config, out)))
    return 0
