"""Keypoints to a body in Blender: a still, or a motion.

Outside Blender it makes the files and checks that they are as Blender expects them; trimesh reads them for that:

    pip install ".[video]" trimesh
    python examples/keypoints_to_blender.py examples/coco_people.json --out blender
    python examples/keypoints_to_blender.py walk.npy --fps 30 --out blender       # (T, 17, 3): a person's frames

Inside Blender (4.2 and newer; its Python needs nothing installed) the same script imports them:

    blender --python examples/keypoints_to_blender.py -- blender/walk.glb
    blender --python examples/keypoints_to_blender.py -- blender/walk_0.bvh

GLB brings the mesh with its 52 bones under Mixamo's names, skinned, and the animation; BVH the 22 body bones alone, for
retargeting onto a character of yours. Both are Y up, which Blender's importers turn to its Z up by themselves. GLB is
in metres; BVH is in centimetres, hence the scale.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from pathlib import Path


def make_files(keypoints: Path, out: Path, fps: float | None) -> list[Path]:
    """GLB of pictures; GLB and BVH of a sequence of frames."""
    from pose2mesh.cli.main import main as pose2mesh

    arguments = ["predict", str(keypoints), "--out", str(out)]
    arguments += ["--formats", "glb"] if fps is None else ["--formats", "glb,bvh", "--fps", str(fps)]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*")} if out.is_dir() else {}
    status = pose2mesh(arguments)
    if status:
        sys.exit(status)
    return sorted(path for path in out.glob("*") if before.get(path) != path.stat().st_mtime_ns)


def check(path: Path) -> str:
    """Say how large what is in a GLB file is, as Blender will show it."""
    import trimesh

    scene = trimesh.load(path)
    meshes = scene.geometry.values()
    tall = max(float(mesh.extents[1]) for mesh in meshes)  # Y is up
    if not 0.3 < tall < 2.5:
        sys.exit(f"{path}: {tall:.2f} high, expected metres with Y up")
    return f"{path}: {len(meshes)} people, {tall:.2f} m from top to bottom"


def import_into_blender(path: Path) -> None:
    """Run by Blender's own Python; the scene is left open, without its first cube, its time line that of the motion."""
    import bpy

    if cube := bpy.data.objects.get("Cube"):
        bpy.data.objects.remove(cube)
    scene = bpy.context.scene
    if path.suffix == ".bvh":
        bpy.ops.import_anim.bvh(filepath=str(path), global_scale=0.01, update_scene_fps=True)
    else:
        if fps := frames_a_second(path):  # before the import, which turns glTF's seconds into the scene's frames
            scene.render.fps, scene.render.fps_base = round(fps), round(fps) / fps
        bpy.ops.import_scene.gltf(filepath=str(path))
    ranges = [action.frame_range for action in bpy.data.actions]
    if ranges:  # Blender may make an action of each person, who come and go
        scene.frame_start = round(min(start for start, _ in ranges))
        scene.frame_end = round(max(end for _, end in ranges))


def frames_a_second(path: Path) -> float | None:
    """Of the animation in a GLB file of pose2mesh; None where there is none."""
    with path.open("rb") as file:
        _, _, _, size, _ = struct.unpack("<4s4I", file.read(20))
        animations = json.loads(file.read(size)).get("animations", [])
    return animations[0].get("extras", {}).get("fps") if animations else None


def main() -> None:
    if "bpy" in sys.modules:  # Blender has it loaded before it runs a script
        import_into_blender(Path(sys.argv[sys.argv.index("--") + 1]).resolve())
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keypoints", type=Path)
    parser.add_argument("--fps", type=float)
    parser.add_argument("--out", type=Path, default=Path("blender"))
    options = parser.parse_args()
    for path in make_files(options.keypoints, options.out, options.fps):
        print(check(path) if path.suffix == ".glb" else path)


if __name__ == "__main__":
    main()
