"""Merges lifted joints with 3D joints that were estimated from the image.

A lifter knows the depth of a limb only from 2D joints, which are the same for a limb that points towards the camera and
one that points away from it. A detector whose network also estimates 3D joints has the pixels to decide. The two are
independent estimates of similar accuracy (`docs/multiview.md` has the measurements), so each bone takes the mean of
their directions and the mean of their lengths. Means of positions would shorten a limb on whose depth they disagree.

The facts of that step, in NumPy: `models.layers.fusion` and `models.onnx_graph.network_graph` build it from them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.skeletons import JointSet

# Weight of the joints estimated from the image. Equal weights were not tuned: there are too few images with 3D joints.
IMAGE_WEIGHT = 0.5
# Two opposite directions have no mean. Below this length of the mean vector, metres, the bone keeps the lifted one.
SHORTEST_M = 1e-3


def bone_matrices(joint_set: JointSet) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Matrices between joints (J, 3) and bone vectors (J − 1, 3), which point away from the root.

    Returns:
        (J − 1, J) to the bones; and (J, J − 1) from the bones to the joints, relative to the root joint.
    """
    neighbours: dict[int, list[int]] = {joint: [] for joint in range(len(joint_set))}
    for a, b in joint_set.edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    bones = np.zeros((len(joint_set) - 1, len(joint_set)), np.float32)
    paths = np.zeros((len(joint_set), len(joint_set) - 1), np.float32)
    reached, bone = [joint_set.root_index], 0
    for joint in reached:  # grows while it is iterated over: breadth first
        for child in neighbours[joint]:
            if child in reached:
                continue
            bones[bone, [joint, child]] = -1, 1
            paths[child] = paths[joint]
            paths[child, bone] = 1
            reached.append(child)
            bone += 1
    return bones, paths
