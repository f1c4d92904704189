"""Import into Blender itself: the example's import, and bodies at the positions of the body model.

Runs where BLENDER_PYTHON names an interpreter that has `bpy` (Blender as a Python module, `pip install bpy`; GPL, so no
part of any install of ours).
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.motion.body_motion import BodyMotion
from pose2mesh.motion.bvh_writer import write_bvh
from pose2mesh.motion.glb_writer import write_animated_glb

EXAMPLE = Path(__file__).parents[2] / "examples" / "keypoints_to_blender.py"
FPS = 25.0
TO_BLENDER = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # camera axes → Z up

# Runs in Blender's Python: imports a file as the example does, saves the time line and all positions.
INSPECT = """
import bpy, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
bpy.ops.wm.read_factory_settings()
sys.argv = ["blender", "--", sys.argv[2], sys.argv[3]]
import keypoints_to_blender
keypoints_to_blender.main()
scene, found = bpy.context.scene, {}
for step in (0, 7, 59):
    scene.frame_set(scene.frame_start + step)
    graph = bpy.context.evaluated_depsgraph_get()
    for thing in bpy.data.objects:
        if thing.type == "MESH" and thing.parent:
            imported = thing.evaluated_get(graph)
            places = [imported.matrix_world @ vertex.co for vertex in imported.to_mesh().vertices]
        elif thing.type == "ARMATURE":
            places = [thing.matrix_world @ bone.head for bone in thing.pose.bones]
            found["bones"] = [bone.name for bone in thing.pose.bones]
        else:
            continue
        found[f"{thing.type}_{step}"] = np.array(places)
times = scene.render.fps / scene.render.fps_base, scene.frame_end - scene.frame_start
np.savez(sys.argv[3], times=times, **found)
"""


@pytest.fixture(scope="module")
def motion(motion_in_camera: BodyMotion) -> BodyMotion:
    """With a frame rate other than Blender's default."""
    return replace(motion_in_camera, fps=FPS)


def inspect(path: Path) -> dict[str, np.ndarray]:
    """Contents of Blender's scene after importing a file.

    Skips:
        where BLENDER_PYTHON is not set.
    """
    blender = os.environ.get("BLENDER_PYTHON")
    if blender is None:
        pytest.skip("needs the path of a Python with `pip install bpy` in BLENDER_PYTHON")
    out = path.with_suffix(".npz")
    command = [blender, "-c", INSPECT, str(EXAMPLE.parent), str(path), str(out)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert out.exists(), result.stdout + result.stderr
    with np.load(out) as file:
        return dict(file)


def test_the_animated_mesh(anny_body: BodyModel, motion: BodyMotion, tmp_path: Path) -> None:
    write_animated_glb(tmp_path / "p0.glb", anny_body, [motion])
    imported = inspect(tmp_path / "p0.glb")
    assert np.allclose(imported["times"], (FPS, len(motion) - 1))
    for step in (0, 7, 59):
        expected = motion.vertices(anny_body)[step] @ TO_BLENDER.T
        # Blender, like the file, has at most four weights per vertex; the body has more.
        assert np.linalg.norm(imported[f"MESH_{step}"] - expected, axis=1).mean() < 1e-4


def test_the_time_line_spans_all_people(anny_body: BodyModel, motion: BodyMotion, tmp_path: Path) -> None:
    late = replace(motion, name="p1", first_frame=20)
    write_animated_glb(tmp_path / "two.glb", anny_body, [late, motion])
    assert np.allclose(inspect(tmp_path / "two.glb")["times"], (FPS, len(motion) + 19))


def test_a_still(anny_body: BodyModel, motion: BodyMotion, tmp_path: Path) -> None:
    still = replace(motion, orientations=motion.orientations[:1], hips_m=motion.hips_m[:1])
    write_animated_glb(tmp_path / "still.glb", anny_body, [still])
    imported = inspect(tmp_path / "still.glb")
    expected = still.vertices(anny_body)[0] @ TO_BLENDER.T
    assert np.linalg.norm(imported["MESH_0"] - expected, axis=1).mean() < 1e-4


def test_the_bones_of_bvh(anny_body: BodyModel, motion: BodyMotion, tmp_path: Path) -> None:
    write_bvh(tmp_path / "p0.bvh", anny_body, motion)
    imported = inspect(tmp_path / "p0.bvh")
    assert np.allclose(imported["times"], (FPS, len(motion) - 1), rtol=1e-6)
    shapes = torch.from_numpy(motion.phenotypes).expand(len(motion), -1)
    heads = anny_body.bone_heads(shapes, torch.from_numpy(motion.orientations)).numpy() + motion.hips_m[:, None]
    names = list(imported["bones"])
    assert len(names) == len(BODY_BONES)
    for step in (0, 7, 59):
        for bone in BODY_BONES:
            expected = TO_BLENDER @ heads[step, anny_body.bone_names.index(bone)]
            assert np.abs(imported[f"ARMATURE_{step}"][names.index(f"mixamorig:{bone}")] - expected).max() < 1e-4
