"""Make the ONNX files of the hand detector from the TFLite files in a wheel of MediaPipe.

    pip download --no-deps mediapipe==0.10.21
    pip install tflite
    python scripts/convert_hands.py mediapipe-0.10.21-*.whl

The networks are Google's, under the Apache License 2.0; see `NOTICE`. `scripts/tflite_to_onnx.py` says what is changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tflite_to_onnx import Network, convert_wheel

FOLDER = Path(__file__).parent.parent / "src" / "pose2mesh" / "weights" / "hands"
NETWORKS = {
    "palm_detector.onnx": Network(
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        (0.0, 1.0),
        ["boxes", "scores"],
    ),
    "hand_landmarks.onnx": Network(
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        (0.0, 1.0),
        ["landmarks", "presence", "handedness", "world"],
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="wheel of mediapipe 0.10.21")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the ONNX files")
    options = parser.parse_args()
    convert_wheel(options.wheel, NETWORKS, options.out)


if __name__ == "__main__":
    main()
