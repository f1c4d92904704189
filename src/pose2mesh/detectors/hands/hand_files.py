"""The files of the hand networks, which `scripts/convert_hands.py` makes, and their digests."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

FOLDER = Path(str(files("pose2mesh"))) / "weights" / "hands"
SHA256 = {
    "palm_detector.onnx": "d302770b36081712d3485aff5aaf9c1bb367f475293980b4310e1c9b33d9e0a6",
    "hand_landmarks.onnx": "2ec4f7f4fc64c4b8355dc09d183dc982bfa9afeee71de49b19e2ece30f456921",
}
