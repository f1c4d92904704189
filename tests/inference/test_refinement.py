"""Refinement: limbs move to their joints and outlines to masks; what is not seen stays; nothing breaks a body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from pose2mesh.body_models.mesh_articulation import load_articulation
from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.refinement import refine_people
from pose2mesh.io.body_mask import BodyMask
from pose2mesh.skeletons import COCO
from pose2mesh.visualization import renderer

SIZE = (640, 480)
# A standing person with bent arms: x, y of COCO's 17 joints.
KEYPOINTS = np.array([
    (320, 100), (325, 95), (315, 95), (332, 98), (308, 98), (345, 135), (295, 135), (360, 180), (278, 178),
    (385, 215), (260, 140), (338, 230), (304, 230), (342, 305), (300, 305), (345, 380), (296, 380),
])  # fmt: skip
WRIST, ANKLE = COCO.index("left_wrist"), COCO.index("right_ankle")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load()


@pytest.fixture(scope="module")
def standing(predictor: Predictor) -> Person:
    """A person whose 2D joints are exactly the projected ones."""
    return seen(predictor.recover(KEYPOINTS, image_size=SIZE)[0])


def seen(person: Person, moved: dict[int, tuple[float, float]] | None = None, missing: tuple[int, ...] = ()) -> Person:
    """The person with 2D joints where they are projected, but for some that are moved (pixels) or missing."""
    joints_px = person.camera.project(person.joints)
    confidence = np.ones(len(joints_px), np.float32)
    for joint, offset in (moved or {}).items():
        joints_px[joint] += offset
    confidence[list(missing)] = 0
    joints_px[list(missing)] = 0
    return replace(person, joints_px=joints_px.astype(np.float32), confidence=confidence)


def distance_px(person: Person) -> np.ndarray:
    return np.linalg.norm(person.camera.project(person.joints) - person.joints_px, axis=1)


def limb_lengths(person: Person) -> np.ndarray:
    heads = load_articulation("coco").heads(person.vertices[None])[0]
    return np.linalg.norm(
        [heads[a] - heads[b] for a, b in ((1, 2), (2, 3), (5, 6), (6, 7), (13, 14), (14, 15))], axis=1
    )


def silhouette(person: Person, predictor: Predictor) -> np.ndarray:
    depth = person.vertices_camera[:, 2]
    return renderer.silhouette(person.camera.project(person.vertices), depth, predictor.faces, SIZE[1], SIZE[0])


def test_limbs_move_to_their_joints(predictor: Predictor, standing: Person) -> None:
    person = seen(standing, {WRIST: (15.0, -10.0), ANKLE: (-12.0, 0.0)})
    (refined,) = refine_people(predictor, [person])
    for joint in (WRIST, ANKLE):
        assert distance_px(refined)[joint] < 0.4 * distance_px(person)[joint]
    others = [joint for joint in range(len(COCO)) if joint not in (WRIST, ANKLE)]
    assert distance_px(refined)[others].max() < 6
    assert np.abs(limb_lengths(refined) / limb_lengths(person) - 1).max() < 0.05
    edges = predictor.faces[:, :2]
    before, after = (np.linalg.norm(np.diff(p.vertices[edges], axis=1)[:, 0], axis=1) for p in (person, refined))
    assert 0.9 < np.quantile(after / before, 0.001) < np.quantile(after / before, 0.999) < 1.1
    regressed = load_articulation("coco").joints(refined.vertices[None])[0]
    assert np.abs(regressed - refined.joints).max() < 1e-3
    assert np.abs(refined.joints[COCO.root_index]).max() < 1e-6


def test_what_fits_stays(predictor: Predictor, standing: Person) -> None:
    (refined,) = refine_people(predictor, [standing])
    assert np.abs(refined.vertices - standing.vertices).max() < 2e-3
    assert np.abs(refined.camera.translation_m - standing.camera.translation_m).max() < 0.02


def test_joints_that_are_not_seen_stay(predictor: Predictor, standing: Person) -> None:
    person = seen(standing, {COCO.index("right_wrist"): (10.0, 0.0)}, missing=(WRIST, ANKLE))
    elsewhere = replace(person, joints_px=np.where(person.confidence[:, None] > 0, person.joints_px, 77))
    (refined,), (other,) = (refine_people(predictor, [each]) for each in (person, elsewhere))
    assert np.array_equal(refined.vertices, other.vertices)
    assert np.linalg.norm(refined.joints - standing.joints, axis=1)[[WRIST, ANKLE]].max() < 0.02


def test_doubtful_joints_move_little(predictor: Predictor, standing: Person) -> None:
    person = seen(standing, {WRIST: (15.0, -10.0)})
    person.confidence[WRIST] = 0.4
    (refined,) = refine_people(predictor, [person])
    assert distance_px(refined)[WRIST] > 0.8 * distance_px(person)[WRIST]


def test_a_thicker_silhouette(predictor: Predictor, standing: Person) -> None:
    """The body grows to a mask that is a few centimetres wider all around, and keeps its joints."""
    own = silhouette(standing, predictor)
    mask = binary_dilation(own, iterations=6)
    given = BodyMask(mask.astype(np.float32), np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    (refined,) = refine_people(predictor, [standing], [given])

    def overlap(one: np.ndarray) -> float:
        return float((one & mask).sum() / (one | mask).sum())

    assert overlap(silhouette(refined, predictor)) > overlap(own) + 0.1
    assert distance_px(refined).mean() < 3


def test_a_batch_is_as_single_people(predictor: Predictor, standing: Person) -> None:
    mask = BodyMask(silhouette(standing, predictor).astype(np.float32), np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    people = [seen(standing, {WRIST: (float(shift), 5.0)}) for shift in range(18)]
    masks = [mask if index % 3 else None for index in range(18)]
    together = refine_people(predictor, people, masks)
    for index in (0, 1, 17):
        (alone,) = refine_people(predictor, [people[index]], [masks[index]])
        assert np.abs(alone.vertices - together[index].vertices).max() < 1e-4
    assert refine_people(predictor, []) == []


def test_weak_perspective_and_height(predictor: Predictor) -> None:
    (person,) = predictor.recover(KEYPOINTS, intrinsics=None, height_m=1.6)
    person = seen(person, {WRIST: (15.0, -10.0)})
    (refined,) = refine_people(predictor, [person])
    assert refined.camera.kind == "weak_perspective"
    assert distance_px(refined)[WRIST] < 0.4 * distance_px(person)[WRIST]
    assert np.median(distance_px(refined)) < 2
    broken = replace(person, vertices=np.full_like(person.vertices, np.nan), joints=np.full_like(person.joints, np.nan))
    nothing = seen(person, missing=tuple(range(len(COCO))))
    results = refine_people(predictor, [broken, person, nothing])
    assert np.abs(results[1].vertices - refined.vertices).max() < 1e-4
    assert np.array_equal(results[0].camera.translation_m, person.camera.translation_m)
    assert np.isfinite(results[2].vertices).all()
    assert refined.stature_m == person.stature_m == 1.6
    assert predictor.stature(refined.joints) == pytest.approx(1.6, abs=0.01)


def test_distortion(predictor: Predictor) -> None:
    camera = Intrinsics(500, 500, 320, 240, distortion=(-0.2, 0.03, 0.0, 0.0))
    (person,) = predictor.recover(KEYPOINTS + np.array([150, 60]), intrinsics=camera, image_size=SIZE)
    person = seen(person)
    (refined,) = refine_people(predictor, [person])
    assert distance_px(refined).max() < 0.2
    mask = BodyMask(silhouette(person, predictor).astype(np.float32), np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    (refined,) = refine_people(predictor, [person], [mask])
    assert distance_px(refined).max() < 2


def test_further_3d_joints(predictor: Predictor, standing: Person) -> None:
    """A joint that is given nearer to the camera comes nearer, and is still projected to its pixel."""
    nearer, weight = standing.joints.copy(), np.zeros(len(COCO), np.float32)
    nearer[WRIST, 2] -= 0.15
    weight[:] = 1 / 0.02**2
    (refined,) = refine_people(predictor, [standing], None, nearer[None], weight[None])
    assert refined.joints[WRIST, 2] < standing.joints[WRIST, 2] - 0.07
    assert distance_px(refined)[WRIST] < 6


def test_degenerate_people_stay_finite(predictor: Predictor, standing: Person) -> None:
    nothing = seen(standing, missing=tuple(range(len(COCO))))
    far = seen(standing, dict.fromkeys(range(len(COCO)), (1e6, -1e6)))
    point = replace(standing, joints_px=np.full_like(standing.joints_px, 100))
    empty = BodyMask(np.zeros((8, 8), np.float32), np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    full = BodyMask(np.ones((8, 8), np.float32), np.array([[100.0, 0, 0], [0, 100.0, 0]]))
    broken = replace(standing, vertices=np.full_like(standing.vertices, np.nan))
    people = [nothing, far, point, standing, standing, broken]
    refined = refine_people(predictor, people, [None, None, None, empty, full, None])
    for before, after in zip(people[:-1], refined, strict=False):
        assert np.isfinite(after.vertices).all()
        assert np.isfinite(after.camera.translation_m).all()
        assert np.abs(limb_lengths(after) / limb_lengths(before) - 1).max() < 0.3
    assert refined[-1] is broken


def test_faults(predictor: Predictor, standing: Person) -> None:
    with pytest.raises(InputError, match="2 masks for 1 people"):
        refine_people(predictor, [standing], [None, None])
    with pytest.raises(InputError, match=r"3D joints have shape \(1, 3, 3\)"):
        refine_people(predictor, [standing], None, np.zeros((1, 3, 3)))


def test_another_body(recovery: Predictor) -> None:
    with pytest.raises(InputError, match="--refine: model 'small' is of body 'ellipsoid'; expected 'anny'"):
        refine_people(recovery, [])
