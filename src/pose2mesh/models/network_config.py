"""`NetworkConfig`: the sizes and inputs of the two networks, without the networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class NetworkConfig:
    """The network's size and inputs. The defaults are the published ones.

    Attributes:
        confidence_input: Feed each joint's confidence beside x and y; a missing joint is then told by its 0. The
            published network knows no missing joints.
        isotropic: Divide x and y by one standard deviation, which keeps the aspect of the pose; the paper divides each
            by its own.
        posenet_width, posenet_blocks, posenet_dropout: See `PoseNet`.
        posenet_unit_m: What PoseNet's last layer counts in: millimetres, as published, or 1.0 for metres. RMSprop and
            Adam take steps of one size whatever the gradient's: with a last layer in metres, the published rate moves
            joints a thousand times as far.
        coarsenings: How many times the mesh's graph is halved for the coarsest level.
        finest: The level whose nodes MeshNet predicts: 0 is the mesh itself (the paper); 4 has a sixteenth of the
            vertices and is followed by a fixed linear step to all of them.
        joint_base: MeshNet predicts offsets from points interpolated linearly between the lifted joints.
            Differs from the paper, whose MeshNet predicts positions: after 48,000 samples of the light network's stage
            two the mesh's joints were 96.4 mm off with it and 117.3 mm without, its points 126 and 154 mm.
        landmarks: Points of the surface that PoseNet lifts besides the joints, for MeshNet's points to be interpolated
            between as well; 0 for none, as in the paper. Needs `joint_base`. PoseNet knows more of a pose than its
            joints say: where a hand is whose wrist is not seen, which way a forearm is turned.
        joint_widths, block_widths, head_width, chebyshev_order: See `MeshNet`; one block per level, coarsest first.
        spectrum: See `graph.laplacian.rescaled_laplacian`.
    """

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
    joint_widths: tuple[int, ...] = (32, 64, 64)
    block_widths: tuple[tuple[int, int], ...] = field(
        default=(
            (128, 256), (256, 256), (256, 256), (256, 256), (256, 256), (128, 128), (128, 128), (128, 128),
        )
    )  # fmt: skip
    head_width: int = 64
    chebyshev_order: int = 3
    spectrum: str = "unit"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
