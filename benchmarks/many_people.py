"""Time and memory of `pose2mesh predict` on many people in one COCO file, and the share of network and writers.

    python benchmarks/many_people.py [--people N …] [--formats json] [--backend torch|onnx] [--out FILE.json]

Each count runs in its own process, on a results file of two people an image. The share is of the time after the model
is loaded: in the network, and in the writers of the requested formats, including file moves.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cases import fresh_process

from pose2mesh.inference.predictor import Predictor
from pose2mesh.io import mesh_files
from pose2mesh.io.atomic_write import replacing
from pose2mesh.pipelines import image_pipeline, predict_options
from pose2mesh.visualization import overlay, renderer

PEOPLE_PER_IMAGE = 2
EXAMPLE = Path(__file__).parents[1] / "examples" / "coco_people.json"


@dataclass(frozen=True)
class Run:
    """Measurements on one file: seconds after the model is loaded, and peak memory of the whole process in bytes."""

    people: int
    seconds: float
    network_s: float
    writers_s: float
    peak_bytes: int

    @property
    def share(self) -> float:
        """Share of the time that is spent in the network and the writers."""
        return (self.network_s + self.writers_s) / self.seconds

    @property
    def line(self) -> str:
        return (
            f"{self.people:6} people  {self.seconds:7.1f} s  {1000 * self.seconds / self.people:6.2f} ms a person  "
            f"network {self.network_s / self.seconds:4.0%}  writers {self.writers_s / self.seconds:4.0%}  "
            f"peak {self.peak_bytes / 2**20:.0f} MiB"
        )


class Stopwatch:
    """Adds up the seconds spent in functions; nested calls are not counted twice."""

    def __init__(self) -> None:
        self.seconds, self._running = 0.0, False

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._running:
                return function(*arguments, **named)
            self._running, start = True, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._running = False
                self.seconds += time.perf_counter() - start

        return call


def coco_results(count: int) -> list[dict[str, Any]]:
    """`count` people in COCO's results format: those of the example with small random shifts of the joints."""
    annotations = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    annotations = annotations["annotations"] if isinstance(annotations, dict) else annotations
    keypoints = [annotation["keypoints"] for annotation in annotations if any(annotation["keypoints"])]
    templates = [np.array(values, float).reshape(-1, 3) for values in keypoints]
    rng, found = np.random.default_rng(0), []
    for index in range(count):
        joints = templates[index % len(templates)].copy()
        joints[:, :2] += (joints[:, 2:] > 0) * rng.normal(0, 2, joints[:, :2].shape)
        annotation = {"image_id": index // PEOPLE_PER_IMAGE, "category_id": 1, "score": 0.9}
        found.append(annotation | {"keypoints": joints.ravel().tolist()})
    return found


def measure(count: int, formats: str, backend: str) -> Run:
    """Predict and write `count` people; meant for its own process."""
    from pose2mesh.training.batch_size import peak_bytes

    network, writers = Stopwatch(), Stopwatch()
    loaded: list[float] = []
    load = Predictor.load

    def load_timed(*arguments: Any, **named: Any) -> Predictor:
        predictor = load(*arguments, **named)
        predictor.backend.run = network.timed(predictor.backend.run)  # type: ignore[method-assign]
        loaded.append(time.perf_counter() - start)
        return predictor

    for module, name in (
        *((mesh_files, name) for name in ("write_obj", "write_ply", "write_glb", "write_npz", "write_json")),
        (renderer, "save_image"),
        (overlay, "draw_overlay"),
    ):
        setattr(module, name, writers.timed(getattr(module, name)))
    Predictor.load = load_timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "people.json"
        source.write_text(json.dumps(coco_results(count)), encoding="utf-8")
        options = predict_options.PredictOptions(Path(folder) / "out", "coco", None, None, None, formats)
        start = time.perf_counter()
        ignore: Callable[[str], None] = lambda line: None  # noqa: E731
        status = image_pipeline.predict_files([source], "default", "cpu", options, ignore, ignore, backend)
        seconds = time.perf_counter() - start
        assert status == 0
    return Run(count, seconds - loaded[0], network.seconds, writers.seconds, peak_bytes())


def whole_process_s(backend: str, rounds: int) -> float:
    """Median seconds of `pose2mesh predict` for one person, from the start of Python to its end."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "person.json"
        source.write_text(json.dumps(coco_results(1)), encoding="utf-8")
        command = [sys.executable, "-m", "pose2mesh.cli", "predict", str(source), "--backend", backend]
        command += ["--formats", "json", "--out", str(Path(folder) / "out")]
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--formats", default="json")
    parser.add_argument("--backend", choices=("torch", "onnx"), default="torch")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out" / "many_people.json")
    arguments = parser.parse_args()
    runs = []
    for count in arguments.people:
        with fresh_process() as pool:
            runs.append(pool.submit(measure, count, arguments.formats, arguments.backend).result())
        print(runs[-1].line, flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.out) as partial:
        partial.write_text(json.dumps([asdict(run) | {"share": run.share} for run in runs], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
