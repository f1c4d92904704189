"""Evaluation protocols of the data sets, by name: the test samples, the joints, the roots, and the source of each.

In all of them joints are regressed from the predicted mesh, and errors are in millimetres: means over samples of means
over joints or vertices. MPJPE is of joints relative to the root joint, PA-MPJPE of joints after the best similarity,
MPVPE of vertices relative to the root joint of the body model's own skeleton, PA-MPVPE of vertices after the best
similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pose2mesh.errors import InputError
from pose2mesh.io.names import nearest
from pose2mesh.skeletons import HAND, HUMAN36, SMPL, JointSet

# Human3.6M's fifteen actions by their numbers in file names, act_02 to act_16.
HUMAN36M_ACTIONS = dict(
    enumerate(
        (
            "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting",
            "SittingDown", "Smoking", "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether",
        ),
        start=2,
    )
)  # fmt: skip

_HMR = "HMR (Kanazawa et al., CVPR 2018) and the evaluation code of SPIN (Kolotouros et al., ICCV 2019)"
_POSE2MESH = "Pose2Mesh (Choi et al., ECCV 2020) and its evaluation code"


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol of one or several data sets.

    Attributes:
        name: Value of `evaluate --protocol`.
        title: Heading of the tables.
        source: The paper or code that defines it.
        data_sets: Readers (`datasets.registry.DATASETS`) of the records it applies to, the default first. It uses the
            last split of each, which is the test split.
        subjects, cameras: Subjects and cameras of the records to test; empty for all.
        joint_set: Joint set of the compared joints, which are relative to its root joint.
        joints: The joints that errors are averaged over; those of `JointSet.evaluation` where empty.
        ground_truth: Source of the true joints: the `labels` of the data set, or the true `mesh`, by the regressor that
            is applied to the predicted one.
        mesh_root: The joint set whose root joint vertices are relative to.
        actions: Names of the numbered actions, for the table by action; empty where there are none.
        frames_per_second: Frame rate of sequences of records; 0 where the records form none.
        aligned_only: Whether only errors after Procrustes alignment are published.
        f_scores_mm: Thresholds of the F-scores of the vertices.
    """

    name: str
    title: str
    source: str
    data_sets: tuple[str, ...]
    joint_set: JointSet
    ground_truth: Literal["labels", "mesh"]
    mesh_root: JointSet
    subjects: tuple[int, ...] = ()
    cameras: tuple[int, ...] = ()
    joints: tuple[str, ...] = ()
    actions: dict[int, str] = field(default_factory=dict)
    frames_per_second: float = 0.0
    aligned_only: bool = False
    f_scores_mm: tuple[float, ...] = ()

    @property
    def columns(self) -> list[int]:
        """Indices into `joint_set` of the joints that errors are averaged over."""
        return [self.joint_set.index(name) for name in self.joints or self.joint_set.evaluation]


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="human36m-p1",
            title="Human3.6M, protocol 1",
            source="The split of Yasin et al., CVPR 2016: S11 to test; the frontal camera (4), every 50th frame",
            data_sets=("human36m",),
            subjects=(11,),
            cameras=(4,),
            joint_set=HUMAN36,
            ground_truth="labels",
            mesh_root=SMPL,
            actions=HUMAN36M_ACTIONS,
        ),
        Protocol(
            name="human36m-p2",
            title="Human3.6M, protocol 2",
            source=f"{_POSE2MESH}: S9 and S11, all four cameras, every 50th frame; the 14 joints are HMR's",
            data_sets=("human36m",),
            subjects=(9, 11),
            joint_set=HUMAN36,
            ground_truth="labels",
            mesh_root=SMPL,
            actions=HUMAN36M_ACTIONS,
        ),
        Protocol(
            name="human36m-frontal",
            title="Human3.6M, frontal camera",
            source=f"{_HMR}, which call it protocol 2: S9 and S11, the frontal camera (4); here every 50th frame",
            data_sets=("human36m",),
            subjects=(9, 11),
            cameras=(4,),
            joint_set=HUMAN36,
            ground_truth="labels",
            mesh_root=SMPL,
            actions=HUMAN36M_ACTIONS,
        ),
        Protocol(
            name="3dpw",
            title="3DPW, test",
            source=f"{_POSE2MESH}, as SPIN's: joints in Human3.6M's order from the true mesh of the person's gender",
            data_sets=("pw3d", "pw3d_sequences"),
            joint_set=HUMAN36,
            ground_truth="mesh",
            mesh_root=SMPL,
            frames_per_second=30.0,  # stated in the readme of 3DPW
        ),
        Protocol(
            name="surreal",
            title="SURREAL",
            source=f"{_POSE2MESH}: SMPL's 24 joints, from the true mesh",
            data_sets=("surreal",),
            joint_set=SMPL,
            ground_truth="mesh",
            mesh_root=SMPL,
        ),
        Protocol(
            name="freihand",
            title="FreiHAND, evaluation",
            source="FreiHAND (Zimmermann et al., ICCV 2019) and its eval.py: 21 joints, F-scores at 5 and 15 mm",
            data_sets=("freihand", "freihand_coco"),
            joint_set=HAND,
            ground_truth="mesh",
            mesh_root=HAND,
            aligned_only=True,
            f_scores_mm=(5.0, 15.0),
        ),
    )
}

# Default protocol of a data set, where it is not the first that applies.
_DEFAULT_PROTOCOLS = {"human36m": "human36m-p2"}


def plain_protocol(joint_set: JointSet) -> Protocol:
    """Protocol for data sets without a published one, such as custom ones: the model's joints from the true mesh."""
    return Protocol(
        name="plain",
        title="The data set that the config validates on",
        source=f"No protocol of the literature: joint set {joint_set.name} from the true mesh, relative to its root",
        data_sets=(),
        joint_set=joint_set,
        ground_truth="mesh",
        mesh_root=joint_set,
    )


def find_protocol(name: str | None, data_sets: Sequence[str], joint_set: JointSet) -> Protocol:
    """The protocol with the given name, or the default one of a data set; the plain one for data sets without any.

    Args:
        name: A key of `PROTOCOLS`, or None for the default.
        data_sets: Readers of the available data sets; the default protocol is that of the first.
        joint_set: Joint set of the model, for the plain protocol.

    Raises:
        InputError: no protocol has this name, or it applies to other data sets.
    """
    if name is None:
        for protocol in PROTOCOLS.values():
            if (
                data_sets[0] in protocol.data_sets
                and _DEFAULT_PROTOCOLS.get(data_sets[0], protocol.name) == protocol.name
            ):
                return protocol
        return plain_protocol(joint_set)
    if name not in PROTOCOLS:
        raise InputError(
            f"--protocol {name!r} is not known; the nearest is {nearest(name, PROTOCOLS)!r} of {', '.join(PROTOCOLS)}"
        )
    protocol = PROTOCOLS[name]
    if not set(protocol.data_sets) & set(data_sets):
        there = ", ".join(data_sets)
        raise InputError(f"--protocol {name}: is for {' or '.join(protocol.data_sets)}; the config has {there}")
    return protocol
