"""Indexing time, opening time and worker memory for a data set of Human3.6M's size.

    python benchmarks/indexing.py [--records 1500000] [--workers 4] [--folder FOLDER]

Writes annotation files in Human3.6M's format for the subjects of protocol 1 with random numbers (about 1.2 kB a
record), then times the reader in its own process, so that the peak is that of the reader alone. Each worker reads all
records in a different order; its memory is counted without shared pages, such as memory-mapped columns.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose2mesh.datasets.readers.human36m import PROTOCOLS, read_human36m
from pose2mesh.datasets.records import Records, open_records

CAMERAS, ACTIONS, SUBACTIONS = 4, range(2, 17), (1, 2)


def write_set(folder: Path, records: int) -> int:
    """Write annotation files with about `records` records; returns the number of bytes."""
    subjects = PROTOCOLS[1].train
    frames = max(1, records // (len(subjects) * CAMERAS * len(ACTIONS) * len(SUBACTIONS)))
    rng = np.random.default_rng(0)
    (folder / "annotations").mkdir(parents=True)
    for subject in subjects:
        start = folder / "annotations" / f"Human36M_subject{subject}"
        camera = {"R": np.eye(3).tolist(), "t": [0.0, 0.0, 5000.0], "f": [1145.0, 1143.8], "c": [512.5, 515.5]}
        Path(f"{start}_camera.json").write_text(json.dumps({str(1 + i): camera for i in range(CAMERAS)}))
        with Path(f"{start}_joint_3d.json").open("w") as file:
            _write_frames(file, frames, lambda: rng.normal(0, 500, (17, 3)).round(4).tolist())
        with Path(f"{start}_smpl_param.json").open("w") as file:
            _write_frames(file, frames, lambda: _fit(rng))
        with Path(f"{start}_data.json").open("w") as file:
            _write_people(file, subject, frames)
    return sum(path.stat().st_size for path in folder.glob("annotations/*"))


def _fit(rng: np.random.Generator) -> dict[str, Any]:
    return {name: rng.normal(size=size).tolist() for name, size in (("pose", 72), ("shape", 10), ("trans", 3))}


def _write_frames(file: Any, frames: int, one: Any) -> None:
    variants = [json.dumps(one()) for _ in range(16)]
    separator = "{"
    for action in ACTIONS:
        file.write(f'{separator}"{action}": {{')
        for subaction in SUBACTIONS:
            inside = ", ".join(f'"{frame}": {variants[frame % 16]}' for frame in range(frames))
            file.write(f'{"" if subaction == SUBACTIONS[0] else ", "}"{subaction}": {{{inside}}}')
        file.write("}")
        separator = ", "
    file.write("}")


def _write_people(file: Any, subject: int, frames: int) -> None:
    def numbers() -> Iterator[tuple[int, int, int, int, int]]:
        number = subject * 10_000_000
        for action in ACTIONS:
            for subaction in SUBACTIONS:
                for camera in range(1, CAMERAS + 1):
                    for frame in range(frames):
                        yield number, action, subaction, camera, frame
                        number += 1

    file.write('{"images": [')
    for number, action, subaction, camera, frame in numbers():
        name = f"s_{subject:02d}_act_{action:02d}_subact_{subaction:02d}_ca_{camera:02d}"
        comma = "" if number % 10_000_000 == 0 else ", "
        file.write(
            f'{comma}{{"id": {number}, "file_name": "{name}/{name}_{frame + 1:06d}.jpg", "width": 1000, '
            f'"height": 1002, "subject": {subject}, "action_name": "Walking", "action_idx": {action}, '
            f'"subaction_idx": {subaction}, "cam_idx": {camera}, "frame_idx": {frame}}}'
        )
    file.write('], "annotations": [')
    for number, *_ in numbers():
        comma = "" if number % 10_000_000 == 0 else ", "
        file.write(
            f'{comma}{{"id": {number}, "image_id": {number}, "keypoints_vis": {json.dumps([True] * 17)}, '
            f'"bbox": [291.4, 162.9, 368.7, 563.2]}}'
        )
    file.write("]}")


def timed(build: Any) -> dict[str, float]:
    """Seconds and peak resident megabytes of a function, run in a new process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(build, sender))
    process.start()
    sender.close()  # the parent's end, so that a failing child raises EOFError
    results = receiver.recv()
    process.join()
    return dict(results)


def _report(build: Any, sender: Any) -> None:
    began, worked = time.perf_counter(), time.process_time()
    records = build()
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sender.send({"seconds": seconds, "cpu": cpu, "peak_mb": peak / 1024, "records": len(records)})


class Index:
    """Runs the reader; a class, so that it can be pickled for another process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> Records:
        return read_human36m(self.folder, self.folder / "cache", split="train", protocol=1, stride=1)


def private_mb() -> float:
    """Unshared memory of this process in megabytes (Linux)."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")) / 1024


def visit(folder: Path, seed: int, sender: Any) -> None:
    """Read every record once in random order, as a data loader's worker does."""
    records = open_records(folder)
    order = np.random.default_rng(seed).permutation(len(records)).astype(np.int32)
    before, total = private_mb(), 0.0
    assert records.joints_m is not None
    assert records.pose is not None
    for rows in np.array_split(order, max(1, len(order) // 4096)):
        total += float(records.joints_m[rows].sum()) + float(records.pose[rows].sum())
    sender.send((before, private_mb(), total))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_500_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary)
        size = write_set(folder, arguments.records)
        print(f"annotation files       {size / 1e9:.2f} GB")
        index = timed(Index(folder))
        print(
            f"indexed once           {index['seconds']:.1f} s ({index['cpu']:.1f} s of CPU), "
            f"{index['records']:,} records, peak {index['peak_mb']:.0f} MB"
        )
        again = timed(Index(folder))
        print(
            f"opened again           {again['seconds']:.3f} s, peak {again['peak_mb']:.0f} MB (imports are not counted)"
        )
        columns = next((folder / "cache").iterdir())
        print(f"index on disk          {sum(path.stat().st_size for path in columns.iterdir()) / 1e9:.2f} GB")
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe(duplex=False) for _ in range(arguments.workers)]
        workers = [
            context.Process(target=visit, args=(columns, seed, sender)) for seed, (_, sender) in enumerate(pipes)
        ]
        for worker in workers:
            worker.start()
        results = [receiver.recv() for receiver, _ in pipes]
        for worker in workers:
            worker.join()
        largest, grown = max(before for before, *_ in results), max(after - before for before, after, _ in results)
        print(f"{arguments.workers} workers, all records  {largest:.0f} MB each, grown by {grown:.1f} MB")


if __name__ == "__main__":
    main()
