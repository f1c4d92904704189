"""Draw inputs and predictions of each baseline, for the pages of `docs/baselines/`.

    python scripts/method_images.py MOTIONS [--runs DIR] [--method NAME …] [--chunk 0] [--out DIR]

MOTIONS is the folder of BVH clips of `configs/mocap_split.yaml`. The samples have poses of its validation clips and
simulated detector errors, and are the same for every method. A column is a sample; the rows show the input of the
method, the predicted body over the image, the same body from the left side of the image, and the true body from there.
For the method on videos a column is a frame: joints, body fitted to the single frame, to all frames, and the true body.
Methods are taken from the runs in DIR, else the bundles that ship.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from image_sheet import PART_COLOURS, enlarged, to_bytes
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pose2mesh.baselines.baseline_samples import benchmark_rendering
from pose2mesh.baselines.benchmark.method_benchmark import BenchmarkedMethod, fitting_method
from pose2mesh.baselines.benchmark.results_table import ROWS, load_methods
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
from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.datasets.synthetic.pose_sources import unchanged_poses
from pose2mesh.geometry.rotations import axis_rotation
from pose2mesh.io.mesh_files import atomic_write
from pose2mesh.motion.synthetic_video import SyntheticVideo, synthesise_video
from pose2mesh.skeletons import COCO
from pose2mesh.visualization import renderer

ROOT = Path(__file__).parents[1]
PEOPLE = 6
PAGES = ("smplify", "lassner", "pavlakos", "nbf", "hmr", "graphcmr", "spin", "arnab")
VIDEO, FRAMES = 0, 24  # index of the clip, and its number of frames
SEED = 21
JOINT_COLOUR, PREDICTED_COLOUR = (250, 190, 60), (235, 180, 90)
TRUE_COLOUR, SINGLE_FRAME_COLOUR = (130, 190, 130), (150, 170, 210)


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
    methods = {"smplify": fitting_method(FITTING_METHODS["smplify"](fitter))}
    methods |= {name: found.by_seed[0] for name, found in load_methods(fitter, options.runs).items() if name in ROWS}
    needs = frozenset[Need](("images", "parts", "silhouettes", "landmarks"))
    rendering = benchmark_rendering("noisy", fitter.layer)
    stream = SampleStream(fitter.body, COCO, unchanged_poses(clips), rendering, needs)
    observation, ground_truth = (group[:PEOPLE] for group in stream.sample(options.chunk, SEED))
    for name in options.method:
        if name in methods:
            sheet = draw(name, methods[name], observation, ground_truth, fitter.body.faces.numpy())
            save(sheet, options.out / f"{name}.png")
    if "arnab" in options.method:
        video = synthesise_video(clips[VIDEO], BodySynthesiser(fitter.body, COCO, None), SEED, most_frames=FRAMES)
        save(draw_video(video, fitter), options.out / "arnab.png")


def save(sheet: NDArray[np.uint8], file: Path) -> None:
    with atomic_write(file) as partial:
        # A palette of 256 colours is sufficient, and image noise does not compress well in RGB.
        Image.fromarray(sheet).quantize(256, dither=Image.Dither.NONE).save(partial, "PNG", optimize=True)
    print(f"{file}: {file.stat().st_size / 1024:.0f} KiB")


def draw(
    name: str, method: BenchmarkedMethod, observation: Observation, ground_truth: GroundTruth, faces: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Sheet (4 · CROP_PX, PEOPLE · CROP_PX, 3) of a method: inputs, predictions, side views and true bodies."""
    inputs = BaselineInput(100 * observation.joints, observation.confidence, torch.arange(PEOPLE))
    found = method.predict(inputs, observation)
    scale = 1.0 if found.joints_px.abs().amax() < 10 else 0.01  # optimisation methods return pixels of their input
    rows = [input_images(name, observation), overlays(found, scale, observation, faces)]
    root = found.joints[:, COCO.root_index, None]
    rows.append([side_view(body, faces, PREDICTED_COLOUR) for body in found.vertices - root])
    rows.append([side_view(body, faces, TRUE_COLOUR) for body in ground_truth.vertices])
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def draw_video(video: SyntheticVideo, fitter: Fitter) -> NDArray[np.uint8]:
    """Sheet (4 · CROP_PX, PEOPLE · CROP_PX, 3) of consecutive frames in the middle of a video."""
    arnab = FITTING_METHODS["arnab"](fitter)
    assert isinstance(arnab, Arnab)
    joints_px, confidence = torch.from_numpy(video.joints_px), torch.from_numpy(video.confidence)
    frames = len(joints_px)
    inputs = BaselineInput(joints_px, confidence, torch.zeros(frames, dtype=torch.long))
    single_frames = arnab.start(inputs)
    whole, target = arnab.fit(inputs, single_frames)
    single = fitter.estimate(single_frames, replace(target, person=torch.arange(frames)))
    found = fitter.estimate(whole, target)
    orientations = video.world_to_camera @ video.orientations
    true = fitter.body(video.phenotypes.expand(frames, -1), orientations)
    root = fitter.body.regressor(COCO)[COCO.root_index] @ true
    shown_frames = torch.arange(PEOPLE) + (frames - PEOPLE) // 2
    faces = fitter.body.faces.numpy()
    dark = np.full((CROP_PX, CROP_PX, 3), 70, np.uint8)
    units = Crops.around(joints_px, confidence).units(joints_px)
    rows = [
        [
            renderer.draw_skeleton(
                dark, _pixels(units[frame]).numpy(), confidence[frame].numpy(), COCO.edges, JOINT_COLOUR
            )
            for frame in shown_frames
        ]
    ]
    for bodies, colour in (
        (single.vertices - single.joints[:, COCO.root_index, None], SINGLE_FRAME_COLOUR),
        (found.vertices - found.joints[:, COCO.root_index, None], PREDICTED_COLOUR),
        (true - root[:, None], TRUE_COLOUR),
    ):
        rows.append([side_view(bodies[frame], faces, colour) for frame in shown_frames])
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def input_images(name: str, observation: Observation) -> list[NDArray[np.uint8]]:
    """The input of a method for each person, as an image."""
    assert observation.images is not None
    if name in ("hmr", "graphcmr", "spin"):
        return [to_bytes(255 * image.permute(1, 2, 0)) for image in observation.images]
    dark = np.full((CROP_PX, CROP_PX, 3), 70, np.uint8)
    if name == "nbf":
        assert observation.parts is not None
        return [enlarged(torch.einsum("khw,kc->hwc", m, torch.tensor(PART_COLOURS).float())) for m in observation.parts]
    grounds = [dark] * PEOPLE
    if name == "pavlakos":
        assert observation.silhouettes is not None
        grounds = [enlarged((70 + 150 * mask)[..., None].expand(-1, -1, 3)) for mask in observation.silhouettes]
    points, confidence, edges = observation.joints, observation.confidence, COCO.edges
    if name == "lassner":
        assert observation.landmarks is not None
        assert observation.landmark_confidence is not None
        points, confidence, edges = observation.landmarks, observation.landmark_confidence, ()
    return [
        renderer.draw_skeleton(ground, _pixels(place).numpy(), point_confidence.numpy(), edges, JOINT_COLOUR)
        for ground, place, point_confidence in zip(grounds, points, confidence, strict=True)
    ]


def overlays(
    found: BodyEstimate, scale: float, observation: Observation, faces: NDArray[np.int64]
) -> list[NDArray[np.uint8]]:
    """Predicted bodies over their images, projected by the camera of the method."""
    assert observation.images is not None
    camera = solve_camera(found.joints, scale * found.joints_px, torch.ones_like(observation.confidence))
    places = _pixels(project(found.vertices, *camera))
    return [
        renderer.render_mesh(
            to_bytes(255 * image.permute(1, 2, 0)),
            place.numpy(), (body[:, 2] + NOMINAL_DISTANCE_M).numpy(), body.numpy(), faces, PREDICTED_COLOUR,
        )
        for image, place, body in zip(observation.images, places, found.vertices, strict=True)
    ]  # fmt: skip


def side_view(vertices: Tensor, faces: NDArray[np.int64], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A body (V, 3), relative to its root joint, viewed from the left side of the image."""
    turned = vertices @ axis_rotation(1, torch.tensor(torch.pi / 2)).T
    places = _pixels(project(turned[None], torch.tensor([0.9]), torch.zeros(1, 2)))[0]
    ground = renderer.plain_canvas(CROP_PX, CROP_PX)
    depth = (turned[:, 2] + NOMINAL_DISTANCE_M).numpy()
    return renderer.render_mesh(ground, places.numpy(), depth, turned.numpy(), faces, colour, 1.0)


def _pixels(units: Tensor) -> Tensor:
    return (units + 1) * (CROP_PX / 2)


if __name__ == "__main__":
    main()
