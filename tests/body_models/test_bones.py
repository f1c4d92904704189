from __future__ import annotations

import subprocess
import sys

from pose2mesh.body_models.bones import BODY_BONES, MIRROR, PARENTS, depth_levels


def test_mirrors_and_levels() -> None:
    assert [MIRROR[bone] for bone in MIRROR] == list(range(len(BODY_BONES)))
    assert BODY_BONES[MIRROR[BODY_BONES.index("LeftHand")]] == "RightHand"
    assert BODY_BONES[MIRROR[BODY_BONES.index("Spine1")]] == "Spine1"
    assert sum(name.startswith("Left") for name in BODY_BONES) == 8
    levels = depth_levels(PARENTS)
    assert sorted(bone for level in levels for bone in level) == list(range(1, len(BODY_BONES)))
    for above, below in zip([[0], *levels], levels, strict=False):
        assert {PARENTS[bone] for bone in below} <= set(above)


def test_bones_need_no_pytorch() -> None:
    code = "import sys, pose2mesh.body_models.bones; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
