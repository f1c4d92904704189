"""Retargeting to the body, clips and their split: a small skeleton written here, and the development clips."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.bvh import forward_kinematics, read_bvh
from pose2mesh.datasets.synthetic.joint_mapping import find_roles
from pose2mesh.datasets.synthetic.mocap import Clip, load_clip, load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.datasets.synthetic.pose_sources import frame_order
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES, limb_joints
from pose2mesh.errors import InputError

SPLIT = Path(__file__).parents[3] / "configs" / "mocap_split.yaml"

# Joint: parent and offset in the rest pose, a T, in centimetres, Y up and facing Z; `end` is an end site.
SKELETON: dict[str, tuple[str, tuple[float, float, float]]] = {"Hips": ("", (0, 0, 0))}
for _side, _x in (("Left", 1), ("Right", -1)):
    SKELETON |= {
        f"{_side}UpLeg": ("Hips", (10 * _x, 0, 0)),
        f"{_side}Leg": (f"{_side}UpLeg", (0, -40, 0)),
        f"{_side}Foot": (f"{_side}Leg", (0, -40, 0)),
        f"{_side}ToeBase": (f"{_side}Foot", (0, -5, 15)),
        f"{_side}ToeBase end": (f"{_side}ToeBase", (0, 0, 5)),
    }
SKELETON |= {"Spine": ("Hips", (0, 20, 0)), "Chest": ("Spine", (0, 20, 0))}
for _side, _x in (("Left", 1), ("Right", -1)):
    SKELETON |= {
        f"{_side}Shoulder": ("Chest", (3 * _x, 15, 0)),
        f"{_side}Arm": (f"{_side}Shoulder", (12 * _x, 0, 0)),
        f"{_side}ForeArm": (f"{_side}Arm", (28 * _x, 0, 0)),
        f"{_side}Hand": (f"{_side}ForeArm", (25 * _x, 0, 0)),
        f"{_side}Hand end": (f"{_side}Hand", (8 * _x, 0, 0)),
    }
SKELETON |= {"Neck": ("Chest", (0, 20, 0)), "Head": ("Neck", (0, 10, 0)), "Head end": ("Head", (0, 15, 0))}

Y_TO_Z = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # Y up facing Z to Z up facing −Y
Pose = dict[str, tuple[float, float, float]]  # local rotation vectors in degrees


def write_bvh(
    path: Path,
    poses: list[Pose],
    *,
    axes: np.ndarray | None = None,
    world: np.ndarray | None = None,
    frames: dict[str, np.ndarray] | None = None,
    rename: dict[str, str] | None = None,
    frame_time: float = 1 / 30,
) -> Path:
    """Write `SKELETON` in the poses given, in Y up or what `axes` makes of it.

    `axes` turns the coordinates of the rest frame, `world` those of the motion's world in addition, `frames` gives
    joints axes of their own (as columns) to write offsets and rotations in.
    """
    axes = np.eye(3) if axes is None else axes
    world = np.eye(3) if world is None else world
    frames = frames or {}
    own = {name: frames.get(name, np.eye(3)) for name in SKELETON}
    names = {name: (rename or {}).get(name, name) for name in SKELETON}
    order = [name for name in SKELETON if not name.endswith(" end")]

    def block(name: str) -> list[str]:
        parent, offset = SKELETON[name]
        local = own[parent].T @ axes @ offset if parent else np.zeros(3)
        head = "End Site" if name.endswith(" end") else f"{'JOINT' if parent else 'ROOT'} {names[name]}"
        lines = [head, "{", "OFFSET " + " ".join(f"{value:.6f}" for value in local)]
        if not name.endswith(" end"):
            position = "" if parent else "Xposition Yposition Zposition "
            lines.append(f"CHANNELS {3 if parent else 6} {position}Zrotation Yrotation Xrotation")
        for child, (above, _) in SKELETON.items():
            lines += block(child) if above == name else []
        return [*lines, "}"]

    def depth_first(name: str) -> list[str]:
        return [name] + [
            n for c, (above, _) in SKELETON.items() if above == name and c in order for n in depth_first(c)
        ]

    rows = []
    for i, pose in enumerate(poses):
        row = list(world @ axes @ (0, 80 + i, 2 * i))
        for name in depth_first("Hips"):
            turn = axes @ Rotation.from_rotvec(np.deg2rad(pose.get(name, (0, 0, 0)))).as_matrix() @ axes.T
            parent = SKELETON[name][0]
            local = (own[parent].T if parent else world) @ turn @ own[name]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an elbow at 90° leaves the split of two angles open; any will do
                row += list(Rotation.from_matrix(local).as_euler("ZYX", degrees=True))
        rows.append(" ".join(f"{value:.6f}" for value in row))
    header = ["MOTION", f"Frames: {len(poses)}", f"Frame Time: {frame_time:.6f}"]
    path.write_text("\n".join(["HIERARCHY", *block("Hips"), *header, *rows]) + "\n")
    return path


def limb(clip: Clip, bone: str) -> np.ndarray:
    """(T, 3) where a bone points when posed."""
    way = np.array(TEMPLATE_BONES[bone])
    return clip.orientations[:, BODY_BONES.index(bone)] @ (way / np.linalg.norm(way))


def angle_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def turn_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(…) angle between two rotations."""
    return np.degrees(Rotation.from_matrix((np.swapaxes(a, -1, -2) @ b).reshape(-1, 3, 3)).magnitude())


ELBOW: Pose = {"LeftForeArm": (0, -90, 0)}
MOVES: list[Pose] = [
    {
        "Hips": (5 * i, 20 * i, 3),
        "Chest": (4, 3 * i, 2),
        "LeftUpLeg": (-10 * i, 4, 3 * i),
        "LeftLeg": (12 * i, 0, 0),
        "RightUpLeg": (-6 * i, 2, 1),
        "RightLeg": (8 * i, 0, 0),
        "LeftArm": (5, 3 * i, -50 + 2 * i),
        "LeftForeArm": (0, -15 * i, 0),
        "RightArm": (5, -3 * i, 40 - i),
        "RightForeArm": (0, 11 * i, 0),
    }
    for i in range(7)
]


def test_rest_pose_is_upright_with_left_on_the_left(tmp_path: Path) -> None:
    clip = load_clip(write_bvh(tmp_path / "rest.bvh", [{}]))
    assert clip.orientations.shape == (1, 22, 3, 3)
    assert clip.orientations.dtype == np.float32
    for bone in ("Hips", "Spine", "Spine1", "Spine2", "Neck", "Head", "LeftShoulder", "RightShoulder"):
        np.testing.assert_allclose(clip.orientations[0, BODY_BONES.index(bone)], np.eye(3), atol=1e-6)
    for side, x in (("Left", 1), ("Right", -1)):
        for bone in ("UpLeg", "Leg"):
            np.testing.assert_allclose(limb(clip, side + bone)[0], [0, 0, -1], atol=1e-3)
        for bone in ("Arm", "ForeArm", "Hand"):
            np.testing.assert_allclose(limb(clip, side + bone)[0], [x, 0, 0], atol=1e-3)
        np.testing.assert_allclose(limb(clip, side + "Foot")[0], np.array([0, -15, -5]) / np.hypot(15, 5), atol=1e-3)


def test_elbow_bends_in_its_own_hinge(tmp_path: Path) -> None:
    clip = load_clip(write_bvh(tmp_path / "elbow.bvh", [ELBOW]))
    np.testing.assert_allclose(limb(clip, "LeftArm")[0], [1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(limb(clip, "LeftForeArm")[0], [0, -1, 0], atol=1e-3)
    np.testing.assert_allclose(limb(clip, "LeftHand")[0], [0, -1, 0], atol=1e-3)
    np.testing.assert_allclose(limb(clip, "RightForeArm")[0], [-1, 0, 0], atol=1e-3)
    upper, lower = (clip.orientations[0, BODY_BONES.index(bone)] for bone in ("LeftArm", "LeftForeArm"))
    turn = Rotation.from_matrix(upper.T @ lower).as_rotvec()
    hinge = np.cross(TEMPLATE_BONES["LeftArm"], TEMPLATE_BONES["LeftForeArm"])
    assert angle_deg(turn, hinge) < 10
    bend = angle_deg(np.array(TEMPLATE_BONES["LeftArm"]), np.array(TEMPLATE_BONES["LeftForeArm"]))
    assert np.degrees(np.linalg.norm(turn)) == pytest.approx(90 - bend, abs=1)


def test_knee_bends_backwards_of_the_body(tmp_path: Path) -> None:
    clip = load_clip(write_bvh(tmp_path / "knee.bvh", [{"LeftLeg": (60, 0, 0)}]))
    np.testing.assert_allclose(limb(clip, "LeftLeg")[0], [0, np.sin(np.pi / 3), -0.5], atol=1e-3)


def test_root_is_scaled_by_the_legs(tmp_path: Path) -> None:
    clip = load_clip(write_bvh(tmp_path / "walk.bvh", [{}] * 3))
    leg = sum(np.linalg.norm(TEMPLATE_BONES[bone]) for bone in ("LeftUpLeg", "LeftLeg"))
    np.testing.assert_allclose(clip.root_m[:, 2], leg * np.array([80, 81, 82]) / 80, rtol=1e-5)
    np.testing.assert_allclose(clip.root_m[:, 1], -leg * np.array([0, 2, 4]) / 80, atol=1e-5)


@pytest.mark.parametrize("rest", ["y", "z"])
@pytest.mark.parametrize("world", ["y", "z"])
def test_up_axis_of_rest_and_world_do_not_matter(tmp_path: Path, rest: str, world: str) -> None:
    plain = load_clip(write_bvh(tmp_path / "plain.bvh", MOVES))
    axes = np.eye(3) if rest == "y" else Y_TO_Z
    turn = {"yy": np.eye(3), "zz": np.eye(3), "yz": Y_TO_Z, "zy": Y_TO_Z.T}[rest + world]
    other = load_clip(write_bvh(tmp_path / "other.bvh", MOVES, axes=axes, world=turn))
    np.testing.assert_allclose(other.orientations, plain.orientations, atol=1e-5)
    np.testing.assert_allclose(other.root_m, plain.root_m, atol=1e-5)


def test_up_can_be_told(tmp_path: Path) -> None:
    lying = write_bvh(tmp_path / "lying.bvh", [{"Hips": (-90, 0, 0)}] * 3, axes=Y_TO_Z)
    on_back = load_clip(lying, up="z")
    np.testing.assert_allclose(on_back.orientations[0, 0] @ (0, -1, 0), [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(load_clip(lying, up="y").orientations[0, 0, 2, 2], 1, atol=1e-5)
    with pytest.raises(InputError, match="up axis 'w' is not known"):
        load_clip(lying, up="w")  # type: ignore[arg-type]


def test_crawling_keeps_the_up_of_the_rest_pose(tmp_path: Path) -> None:
    crawl: Pose = {"Hips": (85, 0, 0), "LeftUpLeg": (-85, 0, 0), "RightUpLeg": (-85, 0, 0), "LeftLeg": (85, 0, 0)}
    clip = load_clip(write_bvh(tmp_path / "crawl.bvh", [crawl] * 5))
    assert angle_deg(clip.orientations[0, 0] @ (0, 0, 1), np.array([0, -1, 0])) == pytest.approx(5, abs=0.1)


def test_handstand_stays_upside_down(tmp_path: Path) -> None:
    clip = load_clip(write_bvh(tmp_path / "handstand.bvh", [{"Hips": (180, 0, 0)}] * 5))
    np.testing.assert_allclose(limb(clip, "LeftLeg")[0], [0, 0, 1], atol=1e-3)


def bone_axes() -> dict[str, np.ndarray]:
    """Axes for every joint such that its bone runs along x, as some software exports them."""
    out = {}
    for name in SKELETON:
        children = [np.array(offset, float) for parent, offset in SKELETON.values() if parent == name]
        if name != "Hips" and children:
            x = children[-1] / np.linalg.norm(children[-1])
            z = np.cross(x, [0.3, 0.2, 0.9])
            z /= np.linalg.norm(z)
            out[name] = np.stack([x, np.cross(z, x), z], axis=1)
    return out


def test_skeleton_whose_offsets_show_no_rest_pose(tmp_path: Path) -> None:
    plain = load_clip(write_bvh(tmp_path / "plain.bvh", MOVES))
    axes = bone_axes()
    path = write_bvh(tmp_path / "axes.bvh", MOVES, frames=axes)
    rest = read_bvh(path).rest_positions()
    assert rest[read_bvh(path).names.index("LeftFoot")][1] > -30  # the feet do not hang below the hips
    clip = load_clip(path)
    for bone in BODY_BONES:
        if bone.endswith(("UpLeg", "Leg", "Foot", "Arm", "Hand")):
            assert angle_deg(limb(clip, bone), limb(plain, bone)).max() < 0.1, bone
    # Twists come from the hinges of knees and elbows, the rest pose's from the template: near each other, not equal.
    off = {bone: turn_deg(clip.orientations[:, i], plain.orientations[:, i]).max() for i, bone in enumerate(BODY_BONES)}
    assert off["Hips"] < 0.1
    assert max(off.values()) < 15, off


@pytest.mark.parametrize("style", ["bare", "mixamo", "smpl", "blender", "biped"])
def test_names_of_other_software(tmp_path: Path, style: str) -> None:
    smpl = {"UpLeg": "Hip", "Leg": "Knee", "Foot": "Ankle", "ToeBase": "Foot", "Shoulder": "Collar", "Arm": "Shoulder"}
    smpl |= {"ForeArm": "Elbow", "Hand": "Wrist"}
    blender = {"UpLeg": "thigh", "Leg": "shin", "Foot": "foot", "ToeBase": "toe", "Shoulder": "shoulder"}
    blender |= {"Arm": "upper_arm", "ForeArm": "forearm", "Hand": "hand"}
    biped = {"UpLeg": "Thigh", "Leg": "Calf", "Foot": "Foot", "ToeBase": "Toe0", "Shoulder": "Clavicle"}
    biped |= {"Arm": "UpperArm", "ForeArm": "Forearm", "Hand": "Hand"}
    rename = {}
    for name in SKELETON:
        side = next((side for side in ("Left", "Right") if name.startswith(side)), "")
        part = name.removeprefix(side)
        rename[name] = {
            "bare": smpl.get(part, part),  # Hip, Knee, Ankle on both sides
            "mixamo": f"mixamorig:{name}",
            "smpl": f"{side[:1]}_{smpl[part]}" if side and part in smpl else part,
            "blender": f"{blender[part]}.{side[0]}" if side and part in blender else part,
            "biped": f"Bip01 {side[0]} {biped[part]}" if side and part in biped else f"Bip01 {part}",
        }[style]
    plain = load_clip(write_bvh(tmp_path / "plain.bvh", MOVES))
    other = load_clip(write_bvh(tmp_path / "other.bvh", MOVES, rename=rename))
    np.testing.assert_allclose(other.orientations, plain.orientations, atol=1e-6)


def test_skeletons_that_cannot_be_laid_on_the_body(tmp_path: Path) -> None:
    swap = {name: name.replace("Left", "@").replace("Right", "Left").replace("@", "Right") for name in SKELETON}
    with pytest.raises(InputError, match=r"swapped\.bvh: in the rest pose the feet point backwards"):
        load_clip(write_bvh(tmp_path / "swapped.bvh", [{}], rename=swap))
    with pytest.raises(InputError, match="no joint is known as LeftForeArm and RightForeArm; the joints are Hips"):
        load_clip(write_bvh(tmp_path / "odd.bvh", [{}], rename={"LeftForeArm": "tentacle", "RightForeArm": "tentacle"}))
    folded = [{**pose, "Hips": (90, 0, 45)} for pose in MOVES]  # no frame stands along an axis, no rest pose to ask
    with pytest.raises(InputError, match="the up axis cannot be determined"):
        load_clip(write_bvh(tmp_path / "folded.bvh", folded, frames=bone_axes()))


def test_resampling_takes_the_nearest_frame(tmp_path: Path) -> None:
    poses: list[Pose] = [{"Hips": (0, i, 0)} for i in range(61)]
    clip = load_clip(write_bvh(tmp_path / "fast.bvh", poses, frame_time=1 / 60), fps=30)
    assert len(clip) == 31
    yaw = np.degrees(np.arctan2(clip.orientations[:, 0, 1, 0], clip.orientations[:, 0, 0, 0]))
    np.testing.assert_allclose(yaw, np.arange(0, 61, 2), atol=1e-3)
    np.testing.assert_allclose(clip.times_s, np.arange(31) / 30)
    slow = load_clip(write_bvh(tmp_path / "slow.bvh", poses[:5], frame_time=1 / 10), fps=30)
    assert len(slow) == 13
    with pytest.raises(InputError, match="fps is 0"):
        load_clip(tmp_path / "slow.bvh", fps=0)


def test_frames_that_jump_are_dropped(tmp_path: Path) -> None:
    poses: list[Pose] = [{"Hips": (0, i, 0)} for i in range(60)]
    poses[30] = {"Hips": (0, 30, 0), "LeftArm": (0, 0, 100)}
    poses[0] = {"RightForeArm": (0, 120, 0)}
    clip = load_clip(write_bvh(tmp_path / "wild.bvh", poses))
    assert clip.dropped == 2
    assert len(clip) == 58
    assert 30 / 30 not in clip.times_s.round(6)
    # Fast but human: 40° in each thirtieth of a second.
    kick: list[Pose] = [{"LeftUpLeg": (-min(40 * i, 120), 0, 0)} for i in range(20)]
    assert load_clip(write_bvh(tmp_path / "kick.bvh", kick)).dropped == 0


def test_load_clips_names_and_collects(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_bvh(tmp_path / "a" / "one.bvh", MOVES)
    write_bvh(tmp_path / "two.BVH", MOVES)
    assert [clip.name for clip in load_clips(tmp_path)] == ["a/one", "two"]
    assert [clip.name for clip in load_clips([tmp_path / "two.BVH", tmp_path / "a" / "one.bvh"])] == ["two", "a/one"]
    assert [clip.name for clip in load_clips(tmp_path / "two.BVH")] == ["two"]
    (tmp_path / "broken.bvh").write_text("nonsense")
    faults: list[InputError] = []
    assert len(load_clips(tmp_path, on_error=faults.append)) == 2
    assert len(faults) == 1
    assert "broken.bvh" in str(faults[0])
    with pytest.raises(InputError, match=r"broken\.bvh: line 1: not a BVH"):
        load_clips(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_clips(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.bvh file"):
        load_clips(tmp_path / "empty")


def test_template_is_the_body_models() -> None:
    anny = pytest.importorskip("anny")
    rest = (model := anny.Anny(rig="mixamo", pose_parameterization="world-orient"))()
    names = [label.split(":")[1] for label in model.bone_labels]
    assert tuple(name for name in names if name in BODY_BONES) == BODY_BONES
    heads, tails = rest["rest_bone_heads"][0].numpy(), rest["rest_bone_tails"][0].numpy()
    children = {"Hips": "Spine", "Spine2": "Neck", "LeftHand": "LeftHandMiddle1", "RightHand": "RightHandMiddle1"}
    for name, way in TEMPLATE_BONES.items():
        i = names.index(name)
        below = [names[k] for k, parent in enumerate(model.bone_parents) if parent == i]
        tail = heads[names.index(children.get(name, below[0]))] if below else tails[i]
        np.testing.assert_allclose(tail - heads[i], way, atol=1e-4, err_msg=name)


Z_UP = {f"animated_drawings/{name}" for name in ("dab", "jumping", "wave_hello", "zombie")}


@pytest.fixture(scope="module")
def mocap(shared_data: Path) -> tuple[Path, list[Clip]]:
    """The clips that the split of the repository names; later folders hold levitating and lying people, too."""
    folder = shared_data / "mocap"
    split = yaml.safe_load(SPLIT.read_text())
    names = {*split["train"], *split["validation"]}
    return folder, [clip for clip in load_clips(folder) if clip.name in names]


@pytest.mark.thorough
def test_development_clips_point_where_the_capture_points(mocap: tuple[Path, list[Clip]]) -> None:
    folder, clips = mocap
    assert len(clips) >= 88
    for clip in clips:
        bvh = read_bvh(folder / f"{clip.name}.bvh")
        _, at = forward_kinematics(bvh)
        frames = np.minimum(np.round(clip.times_s / bvh.frame_time).astype(int), len(bvh) - 1)
        to_z = np.eye(3) if clip.name in Z_UP else Y_TO_Z
        for bone, (head, tail) in limb_joints(find_roles(bvh)).items():
            if bone.endswith(("UpLeg", "Leg", "Arm")):
                way = (at[frames, tail] - at[frames, head]) @ to_z.T
                assert angle_deg(way, limb(clip, bone)).max() < 1, (clip.name, bone)


def test_development_clips_stand_and_bend_like_people(mocap: tuple[Path, list[Clip]]) -> None:
    for clip in mocap[1]:
        by_name = dict(zip(BODY_BONES, np.moveaxis(clip.orientations, 1, 0), strict=True))
        np.testing.assert_allclose(np.linalg.det(clip.orientations), 1, atol=1e-4)
        if any(word in clip.name for word in ("walk", "run", "jog", "zombie", "cmu/02_01", "wave", "soccer")):
            assert by_name["Hips"][:, 2, 2].min() > 0.6, clip.name
            assert (by_name["Head"][:, 2, 2] > 0.5).mean() > 0.9, clip.name
            assert 0.5 < np.median(clip.root_m[:, 2]) < 1.1, clip.name
        for side in ("Left", "Right"):
            # In the thigh's own frame the shank swings to the back (+Y in the template); some figures lock their knees.
            shank = (np.swapaxes(by_name[f"{side}UpLeg"], -1, -2) @ limb(clip, f"{side}Leg")[..., None])[..., 0]
            assert (shank[:, 1] > -0.35).all(), clip.name
            assert np.median(shank[:, 1]) > -0.2, clip.name
            hips_foot = (np.swapaxes(by_name["Hips"], -1, -2) @ limb(clip, f"{side}Foot")[..., None])[..., 0]
            assert np.median(hips_foot[:, 1]) < 0.3, clip.name


def test_development_clips_lose_few_frames(mocap: tuple[Path, list[Clip]]) -> None:
    dropped = {clip.name: clip.dropped for clip in mocap[1]}
    assert dropped["cmu_actions/walking_1"] == 1  # its first frame is the rest pose
    assert dropped["cmu/01_06"] == 1
    assert sum(dropped.values()) < 0.005 * sum(map(len, mocap[1]))
    assert dropped["deepmimic/backflip"] == 0


def test_split_in_the_repository(mocap: tuple[Path, list[Clip]]) -> None:
    train, validation = load_split(SPLIT, mocap[1])
    assert len(train) + len(validation) == 88
    frames = sum(map(len, validation))
    assert 0.12 < frames / (frames + sum(map(len, train))) < 0.18
    assert {clip.name.split("/")[0] for clip in validation} == {clip.name.split("/")[0] for clip in train}


def test_stretches_end_where_frames_were_dropped() -> None:
    times_s = np.array([0, 1, 2, 5, 6, 9]) / 30
    poses, root_m = np.tile(np.eye(3, dtype=np.float32), (6, 22, 1, 1)), np.zeros((6, 3), np.float32)
    clip = Clip("gaps", 30.0, poses, root_m, times_s, dropped=4)
    assert [stretch.tolist() for stretch in clip.stretches()] == [[0, 1, 2], [3, 4], [5]]
    assert frame_order([clip, clip]).following.tolist() == [2, 1, 0, 1, 0, 0] * 2
