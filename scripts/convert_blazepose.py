"""Make the two ONNX files of the BlazePose detector from the TFLite files in a wheel of MediaPipe.

    pip download --no-deps mediapipe==0.10.9
    pip install tflite
    python scripts/convert_blazepose.py mediapipe-0.10.9-*.whl

The networks are Google's, under the Apache License 2.0; see `NOTICE`. `scripts/tflite_to_onnx.py` says what is changed;
the person detector's weights are stored in a sparse form, which is written out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tflite_to_onnx import Network, convert_wheel

FOLDER = Path(__file__).parent.parent / "src" / "pose2mesh" / "weights" / "blazepose"
NETWORKS = {
    "person_detector.onnx": Network(
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        (-1.0, 1.0),
        ["boxes", "scores"],
    ),
    "pose_landmarks.onnx": Network(
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        (0.0, 1.0),
        ["landmarks", "presence", "mask", "heatmaps", "world"],
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="wheel of mediapipe 0.10.9")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the ONNX files")
    options = parser.parse_args()
    convert_wheel(options.wheel, NETWORKS, options.out)


if __name__ == "__main__":
    main()
