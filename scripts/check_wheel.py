"""Check the wheel in a folder before it is published: one file, within the size limit of an index, complete.

python scripts/check_wheel.py dist
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

LARGEST_MB = 80
NEEDED = (
    "pose2mesh/weights/default.safetensors",
    "pose2mesh/weights/movenet/movenet_multipose.onnx",
    "pose2mesh/weights/blazepose/person_detector.onnx",
    "pose2mesh/weights/blazepose/pose_landmarks.onnx",
    "pose2mesh/weights/hands/palm_detector.onnx",
    "pose2mesh/weights/hands/hand_landmarks.onnx",
    "pose2mesh/visualization/static/pose2mesh.js",
    "pose2mesh/body_models/anny_articulation.npz",
    "pose2mesh/body_models/anny_regressors.npz",
    "pose2mesh/baselines/common/pose_prior.npz",
    "LICENSE",
    "NOTICE",
)


def problems(folder: Path) -> list[str]:
    """Problems of the wheel in `folder`, one line each."""
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        return [f"{folder}: {len(wheels)} wheels, expected one"]
    wheel = wheels[0]
    size_mb = wheel.stat().st_size / 1e6
    found = [f"{wheel}: {size_mb:.1f} MB, expected less than {LARGEST_MB}"] if size_mb >= LARGEST_MB else []
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    found += [f"{wheel}: {name} is missing" for name in NEEDED if not any(entry.endswith(name) for entry in names)]
    found += [f"{wheel}: holds {name}" for name in names if name.startswith(("tests/", "docs/", "configs/"))]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    lines = problems(parser.parse_args().folder)
    print("\n".join(lines) or "the wheel is complete", file=sys.stderr if lines else sys.stdout)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
