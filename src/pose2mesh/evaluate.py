"""Measure a model: on motion clips posed as bodies of known shape, and on photos with keypoints and person masks.

On clips the network gets pixels alone, as a user without a calibrated camera has them; the same errors are reported again
for what a user may know besides: the camera, and the person's height.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose2mesh import metrics
from pose2mesh.camera import Intrinsics
from pose2mesh.errors import InputError
from pose2mesh.predict import Recovery

PART = 64  # people posed in full at a time


def evaluate_command(
    model: str,
    data: Path | None,
    motions: Path | None,
    keypoints: Path | None,
    images: Path | None,
    samples: int,
    seed: int,
    input_: str,
    drop_joints: int,
    device: str,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """`pose2mesh evaluate`: choose the test, run it, print it; returns the report.

    Raises:
        InputError: not exactly one of the three kinds of data, or an input that it has not.
    """
    if sum(choice is not None for choice in (data, motions, keypoints)) != 1:
        raise InputError("evaluate: expected one of --data, --motions and --keypoints")
    if samples < 1:
        raise InputError(f"--samples {samples}: expected at least 1")
    folder = Path(model)
    if folder.is_dir():
        model = str(folder / "bundle.safetensors")
    recovery = Recovery.load(model, device)
    if keypoints is not None:
        from pose2mesh.silhouettes import evaluate_keypoints

        if images is None:
            raise InputError("evaluate: --keypoints needs --images, the folder of the photos")
        results = evaluate_keypoints(recovery, keypoints, images)
    else:
        if input_ == "detected":
            raise InputError("--input detected: motion clips have no detections; expected gt or noisy")
        from pose2mesh.data.poses import PoseSource

        if motions is not None:
            source: PoseSource = clip_poses(motions)
        else:
            from pose2mesh.config import load_config
            from pose2mesh.training.run import pose_sources

            assert data is not None
            source = pose_sources(load_config(data).data)[1]
        results = evaluate_motions(recovery, source, samples, seed, input_, drop_joints)
    for name, value in results.items():
        report(f"{name:28} {value:.1f}" if isinstance(value, float) else f"{name:28} {value}")
    return results


def clip_poses(folder: Path):  # noqa: ANN201 - imported below
    """Every frame of every clip of a folder as a pose to be tested on, none augmented."""
    from pose2mesh.data.motion import load_clips
    from pose2mesh.data.poses import PoseConfig, PoseSource

    frames = np.concatenate([clip.orientations for clip in load_clips(folder)])
    plain = PoseConfig(procedural=0.0, mirror=0.0, recombine=0.0, perturb=0.0)
    return PoseSource(torch.from_numpy(frames), plain)


def evaluate_motions(
    recovery: Recovery, source: Any, samples: int, seed: int, input_: str, drop_joints: int = 0
) -> dict[str, Any]:
    """Errors in millimetres over people drawn from `source`, with cameras, shapes and noise of the default configs.

    Args:
        recovery: The model.
        source: A `PoseSource` of test poses.
        samples: How many people.
        seed: Decides them all.
        input_: `gt` or `noisy`.
        drop_joints: So many joints of each person are taken away at random.

    Returns:
        Means over people. `mpjpe_mm`, `pa_mpjpe_mm`, `mpvpe_mm`, `pa_mpvpe_mm`: pixels alone. `scaled_…`: after the best
        scale. `known_camera_…`, `known_height_…`, `known_both_…`: with intrinsics, with the standing height, with both.
        `spread_mm`: the standard error of `mpjpe_mm`.
    """
    from pose2mesh.body.anny import AnnyBody
    from pose2mesh.data.noise import NoiseConfig
    from pose2mesh.data.synthetic import BodySynthesiser, SyntheticConfig, detect, draw_people

    joint_set = recovery.joint_set
    body = AnnyBody()
    synthesiser = BodySynthesiser(body, joint_set, None)
    config = SyntheticConfig(views=1)
    model = "none" if input_ == "gt" else "human36" if joint_set.name == "human36" else "coco"
    noise = NoiseConfig(model=model, drop=0.0, clean=0.0, plain_confidence=0.0, out_of_picture=False)
    if input_ == "gt":
        noise.plain_confidence = 1.0
    generator = torch.Generator().manual_seed(seed)
    regressor = body.regressor(joint_set)
    columns = joint_set.evaluation_indices
    errors: dict[str, list[torch.Tensor]] = {}
    for start in range(0, samples, PART):
        count = min(PART, samples - start)
        with torch.no_grad():
            people = draw_people(count, source, synthesiser, config, generator)
            batch = detect(people, joint_set, noise, generator)
            vertices = people.cameras.to_camera(body(people.phenotypes, people.orientations))
            joints = regressor @ vertices
            root = joints[:, joint_set.root_index, None]
            truth = joints - root, vertices - root
            heights = body.stature(people.phenotypes).numpy()
        pixels, confidence = batch.joints_px.numpy(), batch.confidence.numpy()
        if drop_joints:
            pixels, confidence = take_away(pixels, confidence, drop_joints, seed + start)
        cameras = [
            Intrinsics(float(focal), float(focal), float(centre[0]), float(centre[1]))
            for focal, centre in zip(people.cameras.focal_px, people.cameras.centre_px, strict=True)
        ]
        for name, intrinsics in (("", None), ("known_camera_", cameras)):
            found_joints, found_vertices = recovery.run(pixels, confidence, intrinsics)
            scale = np.array([recovery.stature(person) for person in found_joints])
            factor = torch.from_numpy(heights / scale)[:, None, None].float()
            found = torch.from_numpy(found_joints), torch.from_numpy(found_vertices)
            _collect(errors, name, found, truth, columns)
            if np.isfinite(scale).all():
                sized = "known_both_" if name else "known_height_"
                _collect(errors, sized, (found[0] * factor, found[1] * factor), truth, columns)
    results: dict[str, Any] = {
        f"{name}_mm": float(1000 * torch.cat(values).mean()) for name, values in errors.items()
    }
    per_person = torch.cat(errors["mpjpe"])
    results["spread_mm"] = float(1000 * per_person.std() / len(per_person) ** 0.5)
    return {"model": recovery.bundle.info.name, "samples": samples, "seed": seed, "input": input_,
            "dropped_joints": drop_joints, **results}  # fmt: skip


def _collect(
    errors: dict[str, list[torch.Tensor]],
    prefix: str,
    found: tuple[torch.Tensor, torch.Tensor],
    truth: tuple[torch.Tensor, torch.Tensor],
    columns: list[int],
) -> None:
    """Add a batch's errors: plain ones always, those free of scale or rotation once (they do not change)."""
    joints, vertices = found[0][:, columns], found[1]
    true_joints, true_vertices = truth[0][:, columns], truth[1]
    measures = {"mpjpe": metrics.mean_distance(joints, true_joints), "mpvpe": metrics.mean_distance(vertices, true_vertices)}
    if not prefix:
        measures["pa_mpjpe"] = metrics.procrustes_distance(joints, true_joints)
        measures["pa_mpvpe"] = metrics.procrustes_distance(vertices, true_vertices)
        measures["scaled_mpjpe"] = metrics.scaled_distance(joints, true_joints)
        measures["scaled_mpvpe"] = metrics.scaled_distance(vertices, true_vertices)
    for name, value in measures.items():
        errors.setdefault(prefix + name, []).append(value)


def take_away(
    pixels: np.ndarray, confidence: np.ndarray, count: int, seed: int, labelled: int = 17
) -> tuple[np.ndarray, np.ndarray]:
    """Make `count` joints of each person missing at random; joints derived from a missing one go with it.

    Args:
        pixels, confidence: (B, J, 2) and (B, J); changed copies are returned.
        count: How many of the first `labelled` joints.
        seed: Decides which.
    """
    rng = np.random.default_rng(seed)
    pixels, confidence = pixels.copy(), confidence.copy()
    labelled = min(labelled, pixels.shape[1])
    for person in range(len(pixels)):
        confidence[person, rng.choice(labelled, count, replace=False)] = 0
    if pixels.shape[1] == 19:  # coco: pelvis and neck are the means of hips and shoulders
        confidence[:, 17] = np.minimum(confidence[:, 17], confidence[:, [11, 12]].min(1))
        confidence[:, 18] = np.minimum(confidence[:, 18], confidence[:, [5, 6]].min(1))
    pixels[confidence <= 0] = 0
    return pixels, confidence
