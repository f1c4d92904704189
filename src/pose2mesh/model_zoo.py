"""The model zoo: a model by name or path as a `Predictor`: Pose2Mesh, a baseline, or an exported ONNX file.

| name | model |
| --- | --- |
| `default` | the Pose2Mesh bundle that ships |
| a name in `FITTING_METHODS` of `baselines.registry` | a baseline that fits the body to the 2D joints |
| a name in `LEARNED_METHODS` of `baselines.registry` | a learned baseline, from the bundle that ships |
| a path | a bundle of Pose2Mesh or of a learned baseline, a run folder that holds one, or an exported `.onnx` file |

Only this module depends on both bundles and baselines. Importing it does not import PyTorch.
"""

from __future__ import annotations

from pathlib import Path

from pose2mesh.baselines.bundle_lookup import is_learned
from pose2mesh.baselines.registry import FITTING_METHODS, LEARNED_METHODS
from pose2mesh.errors import InputError
from pose2mesh.inference.backend import check_runtime
from pose2mesh.inference.predictor import Predictor
from pose2mesh.models.bundle.bundle_info import DEFAULT, find_bundle


def load_model(name_or_path: str | Path = DEFAULT, device: str = "cpu", backend: str = "torch") -> Predictor:
    """Load a model.

    Args:
        name_or_path: As in the table above.
        device: `cpu` or `cuda`; baselines run on the CPU alone.
        backend: `torch` or `onnx`; an exported file always takes `onnx`, a baseline `torch`.

    Raises:
        InputError: the model, the device or the backend cannot be used.
    """
    check_runtime(device, backend)
    name = str(name_or_path)
    if name in FITTING_METHODS:
        _refuse_onnx(name, backend)
        from pose2mesh.baselines.fitting_backend import FittingBackend

        return Predictor(FittingBackend.load(name, device))
    if is_learned(name_or_path):
        _refuse_onnx(name, backend)
        from pose2mesh.baselines.learned_backend import LearnedBackend

        return Predictor(LearnedBackend.load(name_or_path, device))
    if Path(name).suffix.lower() != ".onnx":
        find_bundle(name_or_path, (*FITTING_METHODS, *LEARNED_METHODS))
    return Predictor.load(name_or_path, device, backend)


def _refuse_onnx(name: str, backend: str) -> None:
    if backend == "onnx":
        raise InputError(f"--backend onnx: model {name!r} is run by torch")
