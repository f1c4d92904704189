"""`pose2mesh train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pose2mesh.cli.console import say, warn
from pose2mesh.errors import InputError


@dataclass(frozen=True)
class TrainOptions:
    """Overrides of the config, and the folder of the run.

    Attributes:
        overrides: key=value that overrides the config; several may follow.
        resume: The folder (or last.ckpt) of an interrupted run, which is resumed with its own config, from within an
            epoch too.
        out: Run folder; runs/NAME, or the one that is resumed, by default.
        find_batch: Do not train; print the largest batch_size (a power of two) that fits this machine's memory.
    """

    overrides: Annotated[tuple[str, ...], Parameter(name="--set")] = ()
    resume: Path | None = None
    out: Path | None = None
    find_batch: bool = False


_DEFAULTS = TrainOptions()


def train(config: Path | None = None, /, *, options: Annotated[TrainOptions, Parameter(name="*")] = _DEFAULTS) -> int:
    """Train Pose2Mesh or a baseline from a YAML config, or resume an interrupted run.

    More than one device: start it with torchrun.

    Parameters
    ----------
    config
        The YAML file; not needed with --resume.
    """
    if config is None and options.resume is None:
        raise InputError("train: a config file or --resume is needed")
    from pose2mesh.config.train_config import TrainConfig
    from pose2mesh.io.interrupts import Interrupted
    from pose2mesh.training import loop
    from pose2mesh.training import resume as resumed
    from pose2mesh.training.distributed import Processes
    from pose2mesh.training.memory import keep_freed_memory
    from pose2mesh.training.run_config import load_any, override_any

    if options.find_batch and (config is None or options.resume is not None):
        raise InputError("--find-batch: goes with a config file and without --resume")
    out, checkpoint = options.out, None
    if options.resume is None:
        assert config is not None
        settings = load_any(config, list(options.overrides))
    else:
        old, checkpoint = resumed.resume_config(options.resume)
        settings = (
            override_any(old, list(options.overrides)) if config is None else load_any(config, list(options.overrides))
        )
        resumed.refuse_changes(options.resume, old, settings)
        out = out or checkpoint.parent
    keep_freed_memory()
    if options.find_batch:
        if not isinstance(settings, TrainConfig):
            raise InputError(f"--find-batch: {config} is of a baseline, whose batches have one size")
        from pose2mesh.training.batch_size import largest_batch

        say(f"batch_size={largest_batch(settings)}")
        return 0
    first = Processes.found().first  # only the first process of torchrun prints
    try:
        bundle = loop.train(settings, out or Path("runs") / settings.name, checkpoint, say)
    except Interrupted as interrupted:
        if first:
            warn(f"pose2mesh: {interrupted}")
        return interrupted.status
    if first:
        say(str(bundle))
    return 0
