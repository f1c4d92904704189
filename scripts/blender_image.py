"""Render docs/blender.png with Blender: a motion that `pose2mesh predict` wrote as GLB, at several times at once.

Needs a Python with Blender as a module (`pip install bpy`, in a separate environment):

    pose2mesh predict walk.npy --fps 30 --formats glb --out motion
    python scripts/blender_image.py motion/walk.glb docs/blender.png
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import bpy
from mathutils import Vector

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from keypoints_to_blender import import_into_blender

TIMES = 5
SIZE_PX = (1200, 480)
SAMPLES = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path, help="animated GLB")
    parser.add_argument("image", type=Path, help="PNG to write")
    options = parser.parse_args()
    bpy.ops.wm.read_factory_settings()
    import_into_blender(options.motion.resolve())
    low, high = copy_poses()
    light(low, high)
    place_camera(low, high)
    render(options.image.resolve())


def copy_poses() -> tuple[Vector, Vector]:
    """Copy the posed people at several times as static meshes; returns the corners of their bounding box."""
    scene = bpy.context.scene
    moving = [thing for thing in scene.objects if thing.type == "MESH" and thing.find_armature()]
    corners = []
    for step in range(TIMES):
        scene.frame_set(round(scene.frame_start + step * (scene.frame_end - scene.frame_start) / (TIMES - 1)))
        graph = bpy.context.evaluated_depsgraph_get()
        for person in moving:
            evaluated = person.evaluated_get(graph)
            mesh = bpy.data.meshes.new_from_object(evaluated)
            for polygon in mesh.polygons:
                polygon.use_smooth = True
            still = bpy.data.objects.new(f"{person.name}_{step}", mesh)
            still.matrix_world = evaluated.matrix_world
            scene.collection.objects.link(still)
            corners += [still.matrix_world @ vertex.co for vertex in mesh.vertices]
    for person in moving:
        person.hide_render = True
    edges = [Vector(pick(corner[axis] for corner in corners) for axis in range(3)) for pick in (min, max)]
    return edges[0], edges[1]


def light(low: Vector, high: Vector) -> None:
    """Add a floor under the feet, a sun and a bright sky."""
    middle = (low + high) / 2
    bpy.ops.mesh.primitive_plane_add(size=200, location=(middle.x, middle.y, low.z))
    floor = bpy.data.materials.new("floor")
    floor.use_nodes = True
    floor.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.75, 0.75, 0.75, 1)
    bpy.context.object.data.materials.append(floor)
    sun = bpy.data.objects["Light"]
    sun.data.type, sun.data.energy, sun.data.angle = "SUN", 3.0, 0.1
    sun.rotation_euler = (math.radians(50), 0, math.radians(-30))
    world = bpy.context.scene.world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.9, 0.93, 1, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.6


def place_camera(low: Vector, high: Vector) -> None:
    """Turn the camera away from the filming one, at the distance that shows all people."""
    camera = bpy.data.objects["Camera"]
    middle = (low + high) / 2
    camera.data.lens = 70
    wide = max(high.x - low.x, (high.z - low.z) * SIZE_PX[0] / SIZE_PX[1])
    away = 1.2 * wide * camera.data.lens / camera.data.sensor_width
    turn = math.radians(20)
    camera.location = middle + away * Vector((math.sin(turn), -math.cos(turn), 0.2))
    camera.rotation_euler = (middle - camera.location).to_track_quat("-Z", "Y").to_euler()


def render(image: Path) -> None:
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", SAMPLES
    scene.render.resolution_x, scene.render.resolution_y = SIZE_PX
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(image)
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main()
