"""Backend that runs the network with ONNX Runtime, without PyTorch, from an exported file or from a bundle."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line
from pose2mesh.inference.backend import Bodies
from pose2mesh.io.extras import require
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.skeletons import JOINT_SETS

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FORMAT, VERSION = "pose2mesh-onnx", 1
SUFFIX = ".onnx"
CHUNK = 16  # people in one run, so that intermediate tensors stay in the processor's cache


class OnnxBackend:
    """See `inference.backend.BodyBackend`.

    Args:
        session: A session with a graph of `models.onnx_graph.network_graph.build`.
        info: Description of the model.

    Raises:
        KeyError: the joint set is unknown.
        RuntimeError: the graph has other inputs or outputs, or does not run.
    """

    def __init__(self, session: InferenceSession, info: BundleInfo) -> None:
        self.session, self.info = session, info
        # Files that were exported before there was this input lack it.
        self.takes_joints3d = "joints3d" in {each.name for each in session.get_overridable_initializers()}
        # Those that this model predicts, named as in `Bodies`.
        outputs = {each.name for each in session.get_outputs()}
        self._names = [item.name for item in fields(Bodies) if item.name in outputs]
        # Dummy forward pass, so that a broken graph fails at load time.
        pixels = np.zeros((1, len(JOINT_SETS[info.joint_set]), 2), np.float32)
        names = ["faces", "template", "joints", "vertices"]
        inputs = {"pixels": pixels, "confidence": pixels[..., 0]}
        self.faces, self.template, *_ = self._outputs(names, inputs)

    @classmethod
    def load(cls, name_or_path: str | Path, device: str) -> OnnxBackend:
        """Load `default`, a bundle or an exported file.

        Raises:
            InputError: ONNX Runtime is missing or does not support the device, or the file cannot be used.
        """
        providers = find_providers(device)
        if is_onnx(name_or_path):
            return cls._from_file(Path(name_or_path), providers)
        from pose2mesh.models.bundle.bundle_file import (  # imports SciPy, which exported files do not need
            fitting,
            read_bundle,
        )
        from pose2mesh.models.lifter_registry import find_onnx_writer

        bundle = read_bundle(name_or_path)
        require("onnx", "onnx")
        from pose2mesh.models.onnx_graph.network_graph import build

        find_onnx_writer(bundle.network.lifter, f"{bundle.path}: ")
        with fitting(bundle.path):
            return cls(open_session(build(bundle).SerializeToString(), providers), bundle.info)

    @classmethod
    def _from_file(cls, path: Path, providers: list[str]) -> OnnxBackend:
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected one that `pose2mesh export` wrote")
        try:
            session = open_session(path, providers)
        except RuntimeError as error:
            raise InputError(f"{path}: cannot be read as an ONNX file ({one_line(error)})") from error
        metadata = session.get_modelmeta().custom_metadata_map
        if metadata.get("format") != FORMAT:
            raise InputError(f"{path}: is an ONNX file of something else; expected one that `pose2mesh export` wrote")
        if metadata.get("version") != str(VERSION):
            raise InputError(f"{path}: version {metadata.get('version')}, expected {VERSION}")
        try:
            return cls(session, BundleInfo(**json.loads(metadata["info"])))
        except KeyError as error:
            raise InputError(f"{path}: does not fit its own description: {error} is missing or unknown") from error
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{path}: does not fit its own description: {one_line(error)}") from error

    def run(
        self,
        pixels: NDArray[np.float32],
        confidence: NDArray[np.float32],
        joints3d_m: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.DepthBackend`."""
        bodies = self.run_bodies(pixels, confidence, joints3d_m)
        return bodies.joints, bodies.vertices

    def run_bodies(
        self,
        pixels: NDArray[np.float32],
        confidence: NDArray[np.float32],
        joints3d_m: NDArray[np.float32] | None = None,
    ) -> Bodies:
        """See `inference.backend.BodyBackend`."""
        inputs = {"pixels": pixels, "confidence": confidence}
        if joints3d_m is not None:
            inputs["joints3d"] = joints3d_m
        found = []
        for start in range(0, len(pixels), CHUNK):
            part = {name: array[start : start + CHUNK] for name, array in inputs.items()}
            found.append(self._outputs(self._names, part))
        arrays = (np.concatenate(each) for each in zip(*found, strict=True))
        return Bodies(**dict(zip(self._names, arrays, strict=True)))

    def _outputs(self, names: list[str], inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[Any]]:
        """Run the session; the outputs in the order of their names.

        Raises:
            RuntimeError: it failed.
        """
        try:
            return self.session.run(names, inputs)
        except Exception as error:  # the exceptions of ONNX Runtime have no other common class
            raise RuntimeError(one_line(error)) from error


def describe(info: BundleInfo) -> dict[str, str]:
    """Metadata of an exported file."""
    return {"format": FORMAT, "version": str(VERSION), "info": json.dumps(vars(info))}


def is_onnx(name_or_path: str | Path) -> bool:
    """Whether the name of a model is that of an exported file."""
    return Path(name_or_path).suffix.lower() == SUFFIX


def find_providers(device: str) -> list[str]:
    """ONNX Runtime's execution providers for a device, with the CPU as fallback.

    Raises:
        InputError: ONNX Runtime is missing, or the device is `cuda` and it was built without CUDA.
    """
    onnxruntime = require("onnxruntime", "onnx")
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise InputError("--device cuda: this ONNX Runtime has no CUDA; expected cpu, or --backend torch")
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def open_session(model: bytes | Path, providers: list[str], spinning: bool = True) -> InferenceSession:
    """A session of ONNX Runtime with OMP_NUM_THREADS threads, by default one per core.

    Args:
        model: The file or its content.
        providers: Names of execution providers.
        spinning: Whether threads that wait keep their cores busy, which is fast where no other work needs these.

    Raises:
        RuntimeError: the model cannot be used.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    threads = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.log_severity_level = 4  # errors are raised as well
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # as above
        raise RuntimeError(one_line(error)) from error
