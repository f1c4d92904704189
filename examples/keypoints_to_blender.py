"""From keypoints to a body in Blender: a still pose or a motion.

Outside Blender the script writes the files and checks with trimesh that they are as Blender expects:

    pip install ".[video]" trimesh
    python examples/keypoints_to_blender.py examples/coco_people.json --out blender
    python examples/keypoints_to_blender.py walk.npy --fps 30 --out blender       # (T, 17, 3): a person's frames

Inside Blender (4.2 and newer, no further packages needed) the same script imports them:

    blender --python examples/keypoints_to_blender.py -- blender/walk.glb
    blender --python examples/keypoints_to_blender.py -- blender/walk_0.bvh

GLB brings the mesh with its 52 bones under Mixamo's names, skinned, and the animation; BVH the 22 body bones alone, for
retargeting onto your own character. Both are Y up, which Blender's importers convert to Z up. GLB is in metres; BVH is
in centimetres, hence the scale.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from pathlib import Path


def make_files(keypoints: Path, out: Path, fps: float | None) -> list[Path]:
    """Write GLB for single images, or GLB and BVH for a sequence of frames."""
    from pose2mesh.cli.main import main as pose2mesh

    arguments = ["predict", str(keypoints), "--out", str(out)]
    arguments += ["--formats", "glb"] if fps is None else ["--formats", "glb,bvh", "--fps", str(fps)]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*")} if out.is_dir() else {}
    status = pose2mesh(arguments)
    if status:
        sys.exit(status)
    return sorted(path for path in out.glob("*") if before.get(path) != path.stat().st_mtime_ns)


def check(path: Path) -> str:
    """Check the size of the bodies in a GLB file, and describe it."""
    import trimesh

    scene = trimesh.load(path)
    meshes = scene.geometry.values()
    tall = max(float(mesh.extents[1]) for mesh in meshes)  # Y is up
    if not 0.3 < tall < 2.5:
        sys.exit(f"{path}: {tall:.2f} high, expected metres with Y up")
    return f"{path}: {len(meshes)} people, {tall:.2f} m from top to bottom"


def import_into_blender(path: Path) -> None:
    """Import a file in Blender's own Python: the default cube is removed and the timeline set to the motion."""
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
    if ranges:  # Blender may create one action a person, with different ranges
        scene.frame_start = round(min(start for start, _ in ranges))
        scene.frame_end = round(max(end for _, end in ranges))


def frames_a_second(path: Path) -> float | None:
    """Frame rate of the animation in a GLB file of pose2mesh; None without an animation."""
    with path.open("rb") as file:
        _, _, _, size, _ = struct.unpack("<4s4I", file.read(20))
        animations = json.loads(file.read(size)).get("animations", [])
    return animations[0].get("extras", {}).get("fps") if animations else None


def main() -> None:
    if "bpy" in sys.modules:  # loaded by Blender before it runs a script
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
