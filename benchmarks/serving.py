"""Throughput and memory growth of `pose2mesh serve` with concurrent clients.

    python benchmarks/serving.py [--requests 200] [--clients 16] [--rounds 3] [--photo FILE --detector-model FILE]

Starts the server in its own process on a free port. Every round posts the keypoints of the example (or the image), two
people each, and downloads the GLB of each result. Prints one line a round: responses by status, requests a second, the
median and the longest response time, and the memory of the server afterwards (Linux).
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[1] / "src" / "pose2mesh" / "server" / "examples" / "coco_442450.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--detector-model", type=Path)
    options = parser.parse_args()
    command = [sys.executable, "-m", "pose2mesh.cli", "serve", "--port", "0", "--offline"]
    if options.detector_model:
        command += ["--detector-model", str(options.detector_model)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+/", server.stdout.readline())
        assert found, "the server did not start"
        body = (options.photo or EXAMPLE).read_bytes()
        print(f"start: {memory_mb(server.pid):.0f} MB")
        for number in range(options.rounds):
            print(f"round {number + 1}:", round_of(found[0], body, options.requests, options.clients, server.pid))
    finally:
        server.terminate()
        server.wait()


def round_of(address: str, body: bytes, requests: int, clients: int, server: int) -> str:
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        responses = list(pool.map(lambda _: exchange(address, body), range(requests)))
    seconds = time.perf_counter() - start
    statuses = dict(collections.Counter(status for status, _ in responses))
    times = np.array([taken for _, taken in responses])
    return (
        f"{statuses}, {requests / seconds:.1f}/s, {np.median(times):.2f} s (longest {times.max():.2f} s), "
        f"{memory_mb(server):.0f} MB"
    )


def exchange(address: str, body: bytes) -> tuple[int, float]:
    """Status of a request and the download of its GLB, and the seconds of both; 0 for a failed connection."""
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address}api/people", body), timeout=120) as response:
            result = json.loads(response.read())
        with urllib.request.urlopen(address[:-1] + result["frames"][0]["files"]["glb"], timeout=120) as response:
            status = response.status if response.read(4) == b"glTF" else 0
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:
        status = 0
    return status, time.perf_counter() - start


def memory_mb(process: int) -> float:
    """Resident memory of the process in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    main()
