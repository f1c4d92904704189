"""SMPL, SMPL-H, SMPL-X and MANO: posed as in their papers, joint regressors, and networks built on them."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from pose2mesh.body_models.smpl import FINGERTIPS, REGRESSOR_FILES, SmplBody, Variant, find_regressors, find_smpl
from pose2mesh.body_models.smpl_files import HAND_MEANS, JOINT_COUNTS, SmplModel, read_smpl
from pose2mesh.errors import InputError
from pose2mesh.models.mesh_topology import build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO, HAND, HUMAN36, JOINT_SETS, SMPL, JointSet
from tests.body_models.smpl_fixtures import PARENTS, fake_model, save_npz, save_pickle, skinned

Fake = tuple[SmplBody, dict[str, Any]]


@pytest.fixture(scope="module", params=get_args(SmplModel))
def fake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fake:
    """A synthetic body of each model and the arrays of its file."""
    arrays = fake_model(request.param)
    return SmplBody(save_npz(tmp_path_factory.mktemp("smpl") / "model.npz", arrays), request.param), arrays


@pytest.fixture
def smpl(tmp_path: Path) -> SmplBody:
    return SmplBody(save_npz(tmp_path / "model.npz", fake_model("smpl")))


@pytest.fixture
def mano(tmp_path: Path) -> SmplBody:
    return SmplBody(save_pickle(tmp_path / "model.pkl", fake_model("mano"), chumpy=True), "mano")


def parameters(model: str, count: int = 3, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Poses up to about half a turn, shapes and translations; the first pose is zero."""
    generator = torch.Generator().manual_seed(seed)
    pose = 0.6 * torch.randn(count, JOINT_COUNTS[model], 3, generator=generator)
    pose[0] = 0
    return pose, torch.randn(count, 10, generator=generator), torch.randn(count, 3, generator=generator)


def hand_means(arrays: dict[str, Any], model: str) -> np.ndarray:
    """(J, 3) the offset of a pose: the hands' means in the last joints."""
    added = np.zeros((JOINT_COUNTS[model], 3))
    if HAND_MEANS[model]:
        means = np.concatenate([arrays[name] for name in HAND_MEANS[model]]).reshape(-1, 3)
        added[-len(means) :] = means
    return added


def expected(arrays: dict[str, Any], added: np.ndarray | float, *given: torch.Tensor) -> np.ndarray:
    poses, shapes, translations = (value.double().numpy() for value in given)
    return np.stack([skinned(arrays, p + added, s, t) for p, s, t in zip(poses, shapes, translations, strict=True)])


def test_forward_is_linear_blend_skinning(fake: Fake) -> None:
    body, arrays = fake
    given = parameters(body.model)
    vertices = body(*given)
    assert vertices.shape == (3, len(arrays["v_template"]), 3)
    assert vertices.dtype == torch.float32
    added = hand_means(arrays, body.model)
    np.testing.assert_allclose(vertices.numpy(), expected(arrays, added, *given), atol=1e-5)
    moved = vertices - given[2][:, None]
    np.testing.assert_allclose(moved.numpy(), body(*given[:2]).numpy(), atol=1e-5)


@pytest.mark.parametrize("model", ["smplh", "smplx", "mano"])
def test_flat_hand_leaves_the_mean_out(model: SmplModel, tmp_path: Path) -> None:
    arrays = fake_model(model)
    body = SmplBody(save_npz(tmp_path / "model.npz", arrays), model, flat_hand=True)
    given = parameters(model)
    np.testing.assert_allclose(body(*given).numpy(), expected(arrays, 0, *given), atol=1e-5)
    missing = HAND_MEANS[model][0]
    path = save_npz(tmp_path / "model.npz", {key: arrays[key] for key in arrays if key not in HAND_MEANS[model]})
    np.testing.assert_array_equal(SmplBody(path, model, flat_hand=True)(*given).numpy(), body(*given).numpy())
    with pytest.raises(
        InputError, match=f"^{path}: no array '{missing}', expected in a file of {model} unless flat_hand$"
    ):
        SmplBody(path, model)


def test_body_is_its_template_without_pose_and_shape(smpl: SmplBody) -> None:
    zero = smpl(torch.zeros(1, 24, 3), torch.zeros(1, 10))[0]
    torch.testing.assert_close(zero, smpl.template, atol=1e-6, rtol=0)
    assert smpl.faces.shape == (320, 3)
    assert smpl.faces.dtype == torch.int64
    assert not list(smpl.parameters())


def test_gradient_flows_to_pose_and_shape(fake: Fake) -> None:
    """Also at the zero pose, where the axis is undefined; compared with finite differences."""
    body, _ = fake
    given = [value.requires_grad_() for value in parameters(body.model)]
    target = torch.linspace(-1, 1, 3)
    (body(*given) * target).sum().backward()
    for value in given:
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()
        assert (value.grad.flatten(1).abs().amax(1) > 0).all()
    pose, shape, translation = (value.detach() for value in given)
    step = torch.zeros_like(pose)
    step[0, 3, 1] = 1e-2
    difference = (body(pose + step, shape, translation) - body(pose - step, shape, translation)) * target
    assert given[0].grad is not None
    assert difference.sum().item() / 2e-2 == pytest.approx(given[0].grad[0, 3, 1].item(), rel=0.01, abs=0.02)


def test_genders_are_files(tmp_path: Path) -> None:
    (tmp_path / "smpl").mkdir()
    for seed, (variant, suffix) in enumerate((("neutral", "pkl"), ("male", "npz"), ("female", "pkl"))):
        save = save_npz if suffix == "npz" else save_pickle
        save(tmp_path / "smpl" / f"SMPL_{variant.upper()}.{suffix}", fake_model("smpl", seed))
    for seed, variant in enumerate(("neutral", "male", "female")):
        template = SmplBody(find_smpl(tmp_path, "smpl", variant)).template.numpy()  # type: ignore[arg-type]
        np.testing.assert_array_equal(template, fake_model("smpl", seed)["v_template"].astype(np.float32))
    with pytest.raises(InputError, match=r"no file mano/MANO_RIGHT.npz or .pkl, expected for mano right"):
        find_smpl(tmp_path, "mano", "right")


# Joints


@pytest.mark.parametrize("fake", ["smpl", "smplh", "smplx"], indirect=True)
def test_smpl_joints_are_the_model_s_own(fake: Fake) -> None:
    body, arrays = fake
    rows = body.regressor(SMPL).numpy()
    assert rows.shape == (24, 162)
    np.testing.assert_array_equal(rows[:22], arrays["J_regressor"][:22].astype(np.float32))
    # SMPL's hands hang on the wrists, as do the others' middle fingers, which come after the index finger's joints.
    hands = {"smpl": (22, 23), "smplh": (25, 40), "smplx": (28, 43)}[body.model]
    np.testing.assert_array_equal(rows[22:], arrays["J_regressor"][list(hands)].astype(np.float32))
    assert [PARENTS[body.model][joint] for joint in hands] == [SMPL.index("left_wrist"), SMPL.index("right_wrist")]


def test_hand_joints_in_the_order_of_freihand(mano: SmplBody) -> None:
    """Against the table of FreiHAND's own code: MANO's joint to its keypoint, and the vertices of fingertips."""
    keypoints = {
        0: 0,
        1: 5,
        2: 6,
        3: 7,
        4: 9,
        5: 10,
        6: 11,
        7: 17,
        8: 18,
        9: 19,
        10: 13,
        11: 14,
        12: 15,
        13: 1,
        14: 2,
        15: 3,
    }
    tips = {4: 744, 8: 320, 12: 443, 16: 555, 20: 672}
    vertices = mano(*parameters("mano"))
    joints = mano.regressor(HAND) @ vertices
    assert joints.shape == (3, 21, 3)
    for joint, keypoint in keypoints.items():
        own = mano.joint_regressor[joint] @ vertices
        torch.testing.assert_close(joints[:, keypoint], own, atol=1e-6, rtol=0)
    for keypoint, vertex in tips.items():
        torch.testing.assert_close(joints[:, keypoint], vertices[:, vertex])
        assert HAND.names[keypoint] in {f"{finger}_tip" for finger in FINGERTIPS}
    torch.testing.assert_close(mano.regressor(HAND).sum(1), torch.ones(21))


def test_human36_and_coco_from_files(smpl: SmplBody, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {name: rng.dirichlet(np.ones(162), 17) for name in REGRESSOR_FILES}
    assert find_regressors(tmp_path) == {}
    for name, file in REGRESSOR_FILES.items():
        np.save(tmp_path / file, rows[name])
    body = SmplBody(smpl.path, regressors=find_regressors(tmp_path))
    np.testing.assert_array_equal(body.regressor(HUMAN36).numpy(), rows["human36"].astype(np.float32))
    coco = body.regressor(COCO).numpy()
    np.testing.assert_array_equal(coco[:17], rows["coco"].astype(np.float32))
    np.testing.assert_allclose(coco[COCO.index("pelvis")], rows["coco"][[11, 12]].mean(0), rtol=1e-5)
    np.testing.assert_allclose(coco[COCO.index("neck")], rows["coco"][[5, 6]].mean(0), rtol=1e-5)


@pytest.mark.parametrize("joint_set", [HUMAN36, COCO], ids=lambda joints: joints.name)
def test_joints_whose_file_is_not_given(joint_set: JointSet, smpl: SmplBody) -> None:
    with pytest.raises(
        InputError, match=f"no regressor of joint set '{joint_set.name}'; expected one in a file such as"
    ):
        smpl.regressor(joint_set)


def test_a_hand_has_no_body_and_a_body_no_hand(smpl: SmplBody, mano: SmplBody) -> None:
    for joint_set in (SMPL, COCO, HUMAN36):
        with pytest.raises(InputError, match=f"mano has no joint set '{joint_set.name}'; expected hand"):
            mano.regressor(joint_set)
    with pytest.raises(InputError, match="smpl has no joint set 'hand'; expected smpl, human36 and coco"):
        smpl.regressor(HAND)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((17, 161)), r"found \(17, 161\) of float64, expected \(17, 162\) of floating point"),
        (np.ones((19, 162)), r"found \(19, 162\) of float64"),
        (np.ones((17, 162), int), r"found \(17, 162\) of int64"),
        (np.full((17, 162), np.inf), "holds inf, expected finite numbers"),
        (np.full((17, 162), None), "not a readable .npy file"),
    ],
)
def test_wrong_regressor_file(rows: np.ndarray, message: str, smpl: SmplBody, tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        SmplBody(smpl.path, regressors={"coco": path})


def test_without_the_extra(smpl: SmplBody, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "body_models.mano.torch", None)
    with pytest.raises(InputError, match=r'body-models is not installed; `pip install "pose2mesh\[smpl\]"` brings it'):
        SmplBody(smpl.path)


def test_unknown_names(smpl: SmplBody, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model 'star' is not known; expected one of smpl, smplh, smplx, mano"):
        SmplBody(smpl.path, "star")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a regressor of joint set 'smpl', expected human36 or coco"):
        SmplBody(smpl.path, regressors={"smpl": tmp_path})


# Networks on it


@pytest.mark.parametrize(("model", "joint_set", "finest"), [("smpl", SMPL, 0), ("smpl", SMPL, 2), ("mano", HAND, 2)])
def test_a_network_on_the_body(
    model: SmplModel, joint_set: JointSet, finest: int, small_config: NetworkConfig, tmp_path: Path
) -> None:
    """From joints of posed bodies to all vertices; every weight gets a gradient."""
    body = SmplBody(save_npz(tmp_path / "model.npz", fake_model(model)), model)
    with torch.no_grad():
        posed = body(*parameters(model, 24))
    widths = ((16, 16),) * (small_config.coarsenings - finest + 1)
    config = replace(small_config, finest=finest, block_widths=widths)
    surface = build_topology(body, joint_set, config, None if finest == 0 else posed.numpy())
    torch.manual_seed(0)
    network = Pose2Mesh(config, joint_set, surface)
    joints_px = 100 * (body.regressor(joint_set) @ posed)[:4, :, :2]
    points = network(joints_px, torch.ones(joints_px.shape[:2])).points
    vertices = network.vertices(points)
    assert vertices.shape == (4, len(body.template), 3)
    assert network.joints(points).shape == (4, len(joint_set), 3)
    torch.testing.assert_close(network.joints(points), body.regressor(joint_set) @ vertices, atol=1e-5, rtol=0)
    (vertices - posed[:4]).abs().mean().backward()
    for name, weight in network.meshnet.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name


# The same on real files: POSE2MESH_SMPL names a folder laid out as docs/body_models.md says.

REAL = [
    *((model, variant) for model in ("smpl", "smplh", "smplx") for variant in ("neutral", "male", "female")),
    ("mano", "right"),
    ("mano", "left"),
]
SIZES = {"smpl": (6890, 13776), "smplh": (6890, 13776), "smplx": (10475, 20908), "mano": (778, 1538)}


@pytest.mark.assets
@pytest.mark.parametrize(("model", "variant"), REAL)
def test_real_file(model: SmplModel, variant: Variant, small_config: NetworkConfig) -> None:
    if "POSE2MESH_SMPL" not in os.environ:
        pytest.skip("name the folder of model files in POSE2MESH_SMPL")
    folder = Path(os.environ["POSE2MESH_SMPL"])
    try:
        path = find_smpl(folder, model, variant)
    except InputError as error:
        pytest.skip(str(error))
    body = SmplBody(path, model, {} if model in ("smplx", "mano") else find_regressors(folder))
    assert (len(body.template), len(body.faces)) == SIZES[model]
    size_m = (body.template.amax(0) - body.template.amin(0)).max()
    assert 0.1 < size_m < 0.3 if model == "mano" else 1.4 < size_m < 2.2
    read = read_smpl(path, model)
    arrays = {
        "v_template": read.template,
        "shapedirs": read.shapes,
        "posedirs": read.pose_shapes,
        "weights": read.skin_weights,
        "J_regressor": read.joint_regressor,
        "kintree_table": read.parents[None],
        **read.hand_means,
    }
    pose, shape, translation = (value.requires_grad_() for value in parameters(model))
    vertices = body(pose, shape, translation)
    right = expected(arrays, hand_means(arrays, model), pose.detach(), shape.detach(), translation.detach())
    np.testing.assert_allclose(vertices.detach().numpy(), right, atol=1e-5)
    vertices.square().sum().backward()
    assert pose.grad is not None
    assert torch.isfinite(pose.grad).all()
    joint_set = HAND if model == "mano" else SMPL
    for name in find_regressors(folder) if model in ("smpl", "smplh") else ():
        np.testing.assert_allclose(body.regressor(JOINT_SETS[name]).sum(1), 1, atol=1e-3)
    config = replace(small_config, finest=0, block_widths=((8, 8),) * (small_config.coarsenings + 1))
    network = Pose2Mesh(config, joint_set, build_topology(body, joint_set, config, None)).eval()
    joints_px = 100 * (body.regressor(joint_set) @ vertices.detach())[..., :2]
    assert network(joints_px, torch.ones(joints_px.shape[:2])).points.shape == vertices.shape
