"""Draw what each method of the literature sees and finds, for the pages of `docs/baselines/`.

    python scripts/method_pictures.py MOTIONS [--runs DIR] [--method NAME …] [--chunk 0] [--out DIR]

MOTIONS is the folder of BVH clips of `configs/mocap_split.yaml`; the people are drawn in poses of its validation clips,
the same for every method, with the errors of detectors. A column is a person; the rows show what the method looks at,
the body it finds where its camera sees it, the same body from the left of the picture, and the true body from there.
Of the method for videos a column is a frame: its joints, its body fitted alone and with all frames, and the true one.
Methods are taken from the runs in DIR, else those that ship.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from picture_sheet import PART_COLOURS, enlarged, to_bytes
from PIL import Image
from torch import Tensor

from pose2mesh.baselines.baseline_samples import benchmark_rendering
from pose2mesh.baselines.benchmark.method_benchmark import BenchmarkedMethod, of_joints
from pose2mesh.baselines.benchmark.results_table import ROWS, contenders
from pose2mesh.baselines.common.baseline_camera import NOMINAL_DISTANCE_M, project, solve_camera
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.pose_prior import PosePrior
from pose2mesh.baselines.interface import BaselineInput, BodyEstimate
from pose2mesh.baselines.methods.arnab import Arnab
from pose2mesh.baselines.observation import CROP_PX, Crops, GroundTruth, Need, Observation
from pose2mesh.baselines.registry import FITTING_METHODS
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.mocap import load_clips, load_split
from pose2mesh.datasets.synthetic.pose_sources import unchanged_poses
from pose2mesh.geometry.rotations import axis_rotation
from pose2mesh.io.mesh_files import atomic_write
from pose2mesh.motion.synthetic_video import SyntheticVideo, synthesise_video
from pose2mesh.skeletons import COCO
from pose2mesh.visualization import renderer

ROOT = Path(__file__).parents[1]
PEOPLE = 6
PAGES = ("smplify", "lassner", "pavlakos", "nbf", "hmr", "graphcmr", "spin", "arnab")
VIDEO, FRAMES = 0, 24  # which of the clips, how much of it
SEED = 21
SEEN, FOUND, TRUE, ALONE = (250, 190, 60), (235, 180, 90), (130, 190, 130), (150, 170, 210)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--method", nargs="*", choices=PAGES, default=PAGES)
    parser.add_argument("--chunk", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/baselines")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    _, clips = load_split(ROOT / "configs/mocap_split.yaml", load_clips(options.motions))
    fitter = Fitter(default_body(), COCO, PosePrior.load())
    methods = {"smplify": of_joints(FITTING_METHODS["smplify"](fitter))}
    methods |= {name: found.judged[0] for name, found in contenders(fitter, options.runs).items() if name in ROWS}
    needs = frozenset[Need](("images", "parts", "silhouettes", "landmarks"))
    pictures = benchmark_rendering("noisy", fitter.layer)
    stream = SampleStream(fitter.body, COCO, unchanged_poses(clips), pictures, needs)
    seen, truth = (group[:PEOPLE] for group in stream.sample(options.chunk, SEED))
    for name in options.method:
        if name in methods:
            save(draw(name, methods[name], seen, truth, fitter.body.faces.numpy()), options.out / f"{name}.png")
    if "arnab" in options.method:
        video = synthesise_video(clips[VIDEO], BodySynthesiser(fitter.body, COCO, None), SEED, most_frames=FRAMES)
        save(draw_video(video, fitter), options.out / "arnab.png")


def save(sheet: NDArray[np.uint8], file: Path) -> None:
    with atomic_write(file) as partial:
        # A palette: grain does not compress, and 256 colours show all there is to see.
        Image.fromarray(sheet).quantize(256, dither=Image.Dither.NONE).save(partial, "PNG", optimize=True)
    print(f"{file}: {file.stat().st_size / 1024:.0f} KiB")


def draw(
    name: str, method: BenchmarkedMethod, seen: Observation, truth: GroundTruth, faces: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """(4 · CROP_PX, PEOPLE · CROP_PX, 3)."""
    observed = BaselineInput(100 * seen.joints, seen.confidence, torch.arange(PEOPLE))
    found = method.answer(observed, seen)
    scale = 1.0 if found.joints_px.abs().amax() < 10 else 0.01  # fits answer in the pixels they were given
    rows = [looked_at(name, seen), found_bodies(found, scale, seen, faces)]
    root = found.joints[:, COCO.root_index, None]
    rows.append([from_the_left(body, faces, FOUND) for body in found.vertices - root])
    rows.append([from_the_left(body, faces, TRUE) for body in truth.vertices])
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def draw_video(video: SyntheticVideo, fitter: Fitter) -> NDArray[np.uint8]:
    """(4 · CROP_PX, PEOPLE · CROP_PX, 3): every so many frames of the middle of a video, one after the other."""
    arnab = FITTING_METHODS["arnab"](fitter)
    assert isinstance(arnab, Arnab)
    joints_px, confidence = torch.from_numpy(video.joints_px), torch.from_numpy(video.confidence)
    frames = len(joints_px)
    observed = BaselineInput(joints_px, confidence, torch.zeros(frames, dtype=torch.long))
    alone = arnab.start(observed)
    whole, target = arnab.fit(observed, alone)
    single = fitter.estimate(alone, replace(target, person=torch.arange(frames)))
    found = fitter.estimate(whole, target)
    orientations = video.world_to_camera @ video.orientations
    true = fitter.body(video.phenotypes.expand(frames, -1), orientations)
    root = fitter.body.regressor(COCO)[COCO.root_index] @ true
    shown = torch.arange(PEOPLE) + (frames - PEOPLE) // 2
    faces = fitter.body.faces.numpy()
    dark = np.full((CROP_PX, CROP_PX, 3), 70, np.uint8)
    units = Crops.around(joints_px, confidence).units(joints_px)
    rows = [
        [
            renderer.draw_skeleton(dark, _pixels(units[frame]).numpy(), confidence[frame].numpy(), COCO.edges, SEEN)
            for frame in shown
        ]
    ]
    for bodies, colour in (
        (single.vertices - single.joints[:, COCO.root_index, None], ALONE),
        (found.vertices - found.joints[:, COCO.root_index, None], FOUND),
        (true - root[:, None], TRUE),
    ):
        rows.append([from_the_left(bodies[frame], faces, colour) for frame in shown])
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def looked_at(name: str, seen: Observation) -> list[NDArray[np.uint8]]:
    """What a method is given of each person."""
    assert seen.images is not None
    if name in ("hmr", "graphcmr", "spin"):
        return [to_bytes(255 * picture.permute(1, 2, 0)) for picture in seen.images]
    dark = np.full((CROP_PX, CROP_PX, 3), 70, np.uint8)
    if name == "nbf":
        assert seen.parts is not None
        return [enlarged(torch.einsum("khw,kc->hwc", m, torch.tensor(PART_COLOURS).float())) for m in seen.parts]
    grounds = [dark] * PEOPLE
    if name == "pavlakos":
        assert seen.silhouettes is not None
        grounds = [enlarged((70 + 150 * mask)[..., None].expand(-1, -1, 3)) for mask in seen.silhouettes]
    points, confidence, edges = seen.joints, seen.confidence, COCO.edges
    if name == "lassner":
        assert seen.landmarks is not None
        assert seen.landmark_confidence is not None
        points, confidence, edges = seen.landmarks, seen.landmark_confidence, ()
    return [
        renderer.draw_skeleton(ground, _pixels(place).numpy(), sure.numpy(), edges, SEEN)
        for ground, place, sure in zip(grounds, points, confidence, strict=True)
    ]


def found_bodies(
    found: BodyEstimate, scale: float, seen: Observation, faces: NDArray[np.int64]
) -> list[NDArray[np.uint8]]:
    """The bodies over their pictures, where the method's own camera sees them."""
    assert seen.images is not None
    camera = solve_camera(found.joints, scale * found.joints_px, torch.ones_like(seen.confidence))
    places = _pixels(project(found.vertices, *camera))
    return [
        renderer.render_mesh(
            to_bytes(255 * picture.permute(1, 2, 0)),
            place.numpy(), (body[:, 2] + NOMINAL_DISTANCE_M).numpy(), body.numpy(), faces, FOUND,
        )
        for picture, place, body in zip(seen.images, places, found.vertices, strict=True)
    ]  # fmt: skip


def from_the_left(vertices: Tensor, faces: NDArray[np.int64], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A body (V, 3) about its root joint, seen from the side that is on the left of the picture."""
    turned = vertices @ axis_rotation(1, torch.tensor(torch.pi / 2)).T
    places = _pixels(project(turned[None], torch.tensor([0.9]), torch.zeros(1, 2)))[0]
    ground = renderer.plain_canvas(CROP_PX, CROP_PX)
    depth = (turned[:, 2] + NOMINAL_DISTANCE_M).numpy()
    return renderer.render_mesh(ground, places.numpy(), depth, turned.numpy(), faces, colour, 1.0)


def _pixels(units: Tensor) -> Tensor:
    return (units + 1) * (CROP_PX / 2)


if __name__ == "__main__":
    main()
