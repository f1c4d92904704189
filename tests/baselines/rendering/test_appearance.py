"""Rendered appearance: clothes have the sampled cut, lights are directional, occluders and padding cover the person."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.baselines.observation import CROP_PX, Crops
from pose2mesh.baselines.rendering.appearance import PADDING_GREY, CropRenderer
from pose2mesh.baselines.rendering.backgrounds import Backgrounds
from pose2mesh.baselines.rendering.camera_degradations import CameraDegradations
from pose2mesh.baselines.rendering.lighting import sample_light, view_normals
from pose2mesh.baselines.rendering.occluders import sample_occluders
from pose2mesh.baselines.rendering.outfits import OutfitSampler
from pose2mesh.baselines.rendering.rasterizer import Rasteriser
from pose2mesh.baselines.rendering.surface_regions import SurfaceRegions
from pose2mesh.baselines.rendering.visibility import Visibility, crop_cameras, visible_surface
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.camera_sampling import Cameras

B = 40


@pytest.fixture(scope="module")
def surface(anny_body: BodyModel) -> SurfaceRegions:
    return SurfaceRegions.of(anny_body)


@pytest.fixture(scope="module")
def vertices_cam(anny_body: BodyModel, facing: Cameras) -> torch.Tensor:
    """B times the mean adult, facing the camera."""
    return (anny_body.template[None] @ facing.rotation.mT).expand(B, -1, -1).contiguous()


@pytest.fixture(scope="module")
def view(anny_body: BodyModel, facing: Cameras, vertices_cam: torch.Tensor) -> Visibility:
    crops = Crops(torch.tensor([[500.0, 500.0]]), torch.tensor([400.0]))
    one = visible_surface(Rasteriser(anny_body.faces.numpy(), CROP_PX), vertices_cam[:1], crop_cameras(facing, crops))
    who = torch.arange(B).repeat_interleave(len(one.face))
    return Visibility(B, who, one.pixel.repeat(B), one.face.repeat(B))


def test_places_on_limbs(anny_body: BodyModel, surface: SurfaceRegions) -> None:
    """Elbow and knee are at 0.5 and the wrist at 1: where both adjacent bones have similar skinning weights."""
    weights = anny_body.body_bone_weights()[anny_body.faces].mean(1)

    def moved_by(name: str) -> torch.Tensor:
        return weights[:, [BODY_BONES.index(side + name) for side in ("Left", "Right")]].sum(1)

    for first, second, place in (("Arm", "ForeArm", 0.5), ("UpLeg", "Leg", 0.5), ("ForeArm", "Hand", 1.0)):
        joint = (moved_by(first) > 0.4) & (moved_by(second) > 0.4)
        assert joint.any()
        assert (surface.along[joint] - place).abs().mean() < 0.08
        before = (moved_by(first) > 0.95) & (surface.arm | surface.leg)
        assert surface.along[before].median() < place - 0.1
    assert surface.up[surface.spot].abs().max() < 0.02
    assert (surface.back[surface.spot] < 0).all()


def test_clothes_end_where_they_are_cut(surface: SurfaceRegions, view: Visibility) -> None:
    """Hands and faces are never covered by cloth, most torsos are, and eyes are dark."""
    colour, folds = OutfitSampler(surface).dress(view, torch.Generator().manual_seed(0))
    assert colour.shape == (len(view.face), 3)
    hand = surface.arm[view.face] & (surface.along[view.face] > 1.05)
    assert (folds[hand] == 0).all()
    assert (folds[surface.torso[view.face]] != 0).any(1).float().mean() > 0.7
    assert (folds[surface.head[view.face] & (surface.up[view.face] > -0.1)] == 0).all()
    spot = surface.spot[view.face]
    assert colour[spot].mean() < 0.7 * colour[hand].mean()


def test_light_is_directional(anny_body: BodyModel, view: Visibility, vertices_cam: torch.Tensor) -> None:
    normals = view_normals(view, vertices_cam, anny_body.faces)
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals)))
    assert (normals[:, 2] < 0.1).all()  # visible faces point to the camera
    light = sample_light(view, normals, torch.zeros(len(normals), 2), torch.Generator().manual_seed(0))
    assert 0 < light.min() < light.max() < 3
    left = [view.person == person for person in range(B)]
    uneven = [float((light[who].mean(1) * normals[who, 0]).mean()) for who in left]
    assert min(uneven) < -0.01 < 0.01 < max(uneven)


def test_occluders_cover_the_person(anny_body: BodyModel, view: Visibility, vertices_cam: torch.Tensor) -> None:
    """A person behind an occluder is not visible through it, and pixels outside the image are grey."""
    hidden = torch.zeros(B, CROP_PX, CROP_PX, dtype=torch.bool)
    hidden[:, :, 64:] = True
    inside = torch.ones_like(hidden)
    inside[:, :10] = False
    renderer = CropRenderer(anny_body, backgrounds=0, accompanied=0.0)
    empty = Visibility(B, *(column[:0] for column in (view.person, view.pixel, view.face)))
    with_people, without = (
        renderer(seen, vertices_cam, hidden, inside, torch.Generator().manual_seed(0)) for seen in (view, empty)
    )
    assert (with_people[:, :, :10] == PADDING_GREY).all()
    difference = (with_people - without).abs().amax(1)
    assert difference[:, :, 72:].max() < 0.2  # compression blocks straddle the edge
    assert difference[:, :, 72:].mean() < 0.001
    shown = torch.zeros(B, CROP_PX, CROP_PX, dtype=torch.bool)
    shown.view(-1)[view.place] = True
    shown[:, :, 56:] = shown[:, :10] = False
    assert difference[shown].mean() > 0.1


def test_second_person_stays_behind(anny_body: BodyModel, view: Visibility, vertices_cam: torch.Tensor) -> None:
    hidden = torch.zeros(B, CROP_PX, CROP_PX, dtype=torch.bool)
    images = [
        CropRenderer(anny_body, 0, share)(view, vertices_cam, hidden, ~hidden, torch.Generator().manual_seed(0))
        for share in (0.0, 1.0)
    ]
    changed = ((images[0] - images[1]).abs().amax(1) > 0.1).flatten()
    person = torch.zeros_like(changed)
    person[view.place] = True
    assert changed[~person].float().mean() > 0.02
    assert changed[person].float().mean() < 0.05  # changes only by blur


def test_occluders() -> None:
    hidden = sample_occluders(500, 0.4, torch.Generator().manual_seed(0))
    some = hidden.flatten(1).any(1)
    assert 0.3 < some.float().mean() < 0.45
    assert hidden[some].float().mean((1, 2)).median() < 0.25
    assert hidden[:, 60:68, 60:68].float().mean() < 0.1
    assert not sample_occluders(50, 0.0, torch.Generator().manual_seed(0)).any()


def test_backgrounds() -> None:
    one, other = Backgrounds(0), Backgrounds(1)
    assert not torch.equal(one.bank, other.bank)
    drawn, again = (one.sample(B, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(drawn, again)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert drawn.std((1, 2, 3)).median() > 0.05
    assert one.windows(0, torch.Generator()).shape == (0, 3, CROP_PX, CROP_PX)


def test_camera_degradations_keep_the_image() -> None:
    across, down = torch.meshgrid(torch.linspace(-3, 3, CROP_PX), torch.linspace(-3, 3, CROP_PX), indexing="xy")
    clean = (0.5 + 0.3 * torch.sin(across) * torch.cos(down)).expand(B, 3, -1, -1)
    spoilt = CameraDegradations()(clean.clone(), torch.Generator().manual_seed(0))
    assert 0 <= spoilt.min() <= spoilt.max() <= 1
    likeness = torch.corrcoef(torch.stack((clean[0, 0].flatten(), *spoilt[:, 0].flatten(1))))[0, 1:]
    assert likeness.min() > 0.9
    assert (spoilt - clean).abs().mean() > 0.02
