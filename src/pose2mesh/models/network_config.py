"""`NetworkConfig`: sizes and inputs of the network. Importing it does not import PyTorch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

# Prefix of a lifter's weights in the state dict of `Pose2Mesh`, whatever the lifter: bundles and checkpoints written
# when PoseNet was the only one have it.
LIFTER_PREFIX = "posenet."


@dataclass
class NetworkConfig:
    """Sizes and inputs of the network. The defaults are the published ones.

    Attributes:
        lifter: Name of the lifter in `models.lifter_registry.LIFTERS`.
        lifter_settings: Settings of a lifter other than PoseNet, whose sizes are the `posenet_` keys; see
            `Lifter.settings`.
        confidence_input: Give each joint's confidence to the network beside x and y, so that a missing joint can be
            recognised by its 0. The published network cannot represent missing joints.
        isotropic: Divide x and y by one common standard deviation, which keeps the aspect ratio of the pose; the paper
            divides each by its own.
        posenet_width, posenet_blocks, posenet_dropout: See `PoseNet`.
        posenet_unit_m: Unit of PoseNet's last layer: millimetres (0.001), as published, or metres (1.0). RMSprop and
            Adam take steps of the same size whatever the size of the gradient: with a last layer in metres, the
            published learning rate moves joints a thousand times as far.
        coarsenings: How many times the mesh's graph is halved to reach the coarsest level.
        finest: The level whose nodes MeshNet predicts: 0 is the mesh itself (the paper); 4 has a sixteenth of the
            vertices and is followed by a fixed linear step to all of them.
        joint_base: MeshNet predicts offsets from points interpolated linearly between the lifted joints.
            Differs from the paper, whose MeshNet predicts positions: after 48,000 samples of the light network's stage
            two the mesh's joints were 96.4 mm off with it and 117.3 mm without, its points 126 and 154 mm.
        landmarks: Number of surface points that the lifter predicts besides the joints, as further handles between
            which MeshNet's points are interpolated; 0 for none, as in the paper. Needs `joint_base`. The lifter's input
            determines more of a pose than its joints express: where a hand is whose wrist is not visible, which way a
            forearm is turned.
        shape_components: S, number of coefficients of the body's shape that the lifter predicts (see
            `body_models.shape_basis`); 0 for none, as in the paper.
        skinned: Whether the vertices are those of a body in the pose that MeshNet's points show, with the lifter's
            shape (`models.skinned_body`). Needs `shape_components`.
            Differs from the paper, whose MeshNet predicts every vertex: limbs that the network is not sure of wither.
        least_age: Predicted shapes of a skinned body are moved to this age on Anny's scale if they are younger; 2/3
            is a young adult, 0 keeps them. The proportions of 2D joints, of real people above all, say too little to
            tell children from adults, and most people are adults.
        expected_errors: Whether the lifter predicts how large the errors of its joints and shape are.
        joint_widths, block_widths, head_width, chebyshev_order: See `MeshNet`; one block per level, coarsest first.
        spectrum: See `graph.laplacian.rescaled_laplacian`.
    """

    lifter: str = "posenet"
    lifter_settings: dict[str, Any] = field(default_factory=dict)
    confidence_input: bool = False
    isotropic: bool = False
    posenet_width: int = 4096
    posenet_blocks: int = 2
    posenet_dropout: float = 0.5
    posenet_unit_m: float = 0.001
    coarsenings: int = 7
    finest: int = 0
    joint_base: bool = False
    landmarks: int = 0
    shape_components: int = 0
    skinned: bool = False
    least_age: float = 0.0
    expected_errors: bool = False
    joint_widths: tuple[int, ...] = (32, 64, 64)
    block_widths: tuple[tuple[int, int], ...] = field(
        default=(
            (128, 256), (256, 256), (256, 256), (256, 256), (256, 256), (128, 128), (128, 128), (128, 128),
        )
    )  # fmt: skip
    head_width: int = 64
    chebyshev_order: int = 3
    spectrum: str = "unit"

    @property
    def in_channels(self) -> int:
        """C, channels of the network's input per joint: x and y, and the confidence where that is an input."""
        return 2 + int(self.confidence_input)

    def as_dict(self) -> dict[str, Any]:
        """The values as they are stored in a bundle."""
        return asdict(self)

    @classmethod
    def from_bundle(cls, values: dict[str, Any]) -> NetworkConfig:
        """The inverse of `as_dict`, for values of a bundle of any age.

        Raises:
            TypeError: an unknown key.
        """
        # In bundles written before this key existed, the last layer of PoseNet is in metres.
        return cls(**({"posenet_unit_m": 1.0} | values))
