"""`pose2mesh export`: writes a bundle as one ONNX file that runs without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose2mesh.errors import InputError
from pose2mesh.inference.onnx_backend import (
    SUFFIX,
    OnnxBackend,
    describe,
    find_providers,
    is_onnx,
    open_session,
)
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.extras import require
from pose2mesh.models.bundle.bundle_file import BundleFile, fitting, read_bundle
from pose2mesh.models.bundle.bundle_info import DEFAULT
from pose2mesh.models.lifter_registry import find_onnx_writer

LARGEST_DIFFERENCE_M = 1e-4
CHECKED_PEOPLE = 20


def export_onnx(model: str, path: Path) -> str:
    """Write a bundle as an ONNX file, after comparing its outputs with PyTorch's.

    Args:
        model: `default` or a bundle file.
        path: The file to write.

    Returns:
        A line about the written file.

    Raises:
        InputError: the bundle cannot be used or holds a lifter alone, ONNX is missing, the outputs differ by more than
            0.1 mm, or the file cannot be written.
    """
    if is_onnx(model):
        raise InputError(f"{model}: is an ONNX file; expected {DEFAULT!r} or a bundle")
    if not is_onnx(path) or not path.parent.is_dir():
        raise InputError(f"--onnx {path}: expected the name of a {SUFFIX} file in a folder that exists")
    onnx = require("onnx", "onnx")
    from pose2mesh.models.onnx_graph.network_graph import build

    providers = find_providers("cpu")
    bundle = read_bundle(model)
    find_onnx_writer(bundle.network.lifter, f"{bundle.path}: ")
    reference = Predictor(TorchBackend.load(model, "cpu"))
    with fitting(bundle.path):
        graph = build(bundle, compact=True)
        onnx.helper.set_model_props(graph, describe(bundle.info))
        onnx.checker.check_model(graph, full_check=True)
        data = graph.SerializeToString()
        exported = Predictor(OnnxBackend(open_session(data, providers), bundle.info))
    difference = largest_difference_m(reference, exported, random_people(bundle))
    if not difference <= LARGEST_DIFFERENCE_M:  # True for NaN
        raise InputError(
            f"--onnx {path}: not written; its outputs differ from PyTorch's by up to {difference:.2g} m, expected at "
            f"most {LARGEST_DIFFERENCE_M} m"
        )
    try:
        with replacing(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise InputError(f"--onnx {path}: cannot be written ({error.strerror or error})") from error
    return f"{path}: {len(data) / 1e6:.1f} MB, at most {1000 * difference:.2g} mm from PyTorch"


def random_people(bundle: BundleFile) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (P, J, 2) and confidences (P, J) of the template's joints, rotated, with noise, some of them missing."""
    rng = np.random.default_rng(0)
    joints = bundle.surface.joint_regressor @ bundle.surface.template
    rotations = np.linalg.qr(rng.normal(size=(CHECKED_PEOPLE, 3, 3)))[0]
    noisy = joints + 0.1 * rng.normal(size=(CHECKED_PEOPLE, *joints.shape))
    pixels = 300 * (noisy @ rotations)[..., :2] + rng.uniform(0, 1000, (CHECKED_PEOPLE, 1, 2))
    confidence = rng.uniform(0.1, 1, pixels.shape[:2])
    missing = rng.random(confidence.shape) < np.linspace(0, 0.5, CHECKED_PEOPLE)[:, None]
    return pixels, np.where(missing, 0, confidence)


def largest_difference_m(first: Predictor, second: Predictor, people: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest difference of any coordinate of any joint or vertex between two models, metres."""
    pairs = zip(first.run(*people), second.run(*people), strict=True)
    return float(max(np.abs(a - b).max() for a, b in pairs))
