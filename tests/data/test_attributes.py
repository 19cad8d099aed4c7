import pytest
import torch

from facelab.data import attributes
from facelab.data.anny_faces import AnnyFaces
from facelab.data.attributes import ATTRIBUTE_NAMES, QUANTILES, measure
from facelab.geometry.camera import rotation_from_euler
from facelab.geometry.morphable import anny_head
from facelab.geometry.rasterize import rasterize

OURS = {"Eyes_Closed"}
CELEBA = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose "
    "Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee "
    "Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard "
    "Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair "
    "Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie "
    "Young"
)


def column(many, name):
    dataset, labels = many
    return labels.attributes[:, dataset.attribute(name)]


def test_names_are_celeba_s():
    assert len(ATTRIBUTE_NAMES) == len(set(ATTRIBUTE_NAMES)) >= 24
    assert set(ATTRIBUTE_NAMES) - set(CELEBA.split()) == OURS
    assert list(ATTRIBUTE_NAMES) == sorted(ATTRIBUTE_NAMES)


@pytest.mark.parametrize("name", ATTRIBUTE_NAMES)
def test_both_values_occur_often_enough_to_learn_from(many, name):
    share = column(many, name).float().mean()
    assert 0.015 < share < 0.85


def test_nobody_has_two_colours_of_hair_or_a_beard_without_one(many):
    colours = [column(many, f"{name}_Hair") for name in ("Black", "Blond", "Brown", "Gray")]
    assert torch.stack(colours).sum(0).max() == 1
    assert not (column(many, "Bald") & torch.stack(colours).any(0)).any()
    for name in ("Goatee", "Mustache", "5_o_Clock_Shadow"):
        assert not (column(many, "No_Beard") & column(many, name)).any()
    assert not (column(many, "Straight_Hair") & column(many, "Wavy_Hair")).any()
    assert not (column(many, "Heavy_Makeup") & ~column(many, "Wearing_Lipstick")).any()


def test_an_open_mouth_shows_its_inside():
    """The label is a length on the mesh; here it is compared with what a picture shows."""
    dataset = AnnyFaces(128, 80, 1, seed=6)
    faces = dataset.faces([dataset.seeds(index) for index in range(80)])
    model = dataset.model
    rotation = rotation_from_euler(*faces.views.euler_rad.unbind(1))
    pixels_xy, depth_mm = faces.camera.project(
        torch.einsum("bvc,bdc->bvd", faces.vertices, rotation)
    )
    shown = rasterize(pixels_xy, depth_mm, model.triangles, (128, 128))
    inside = torch.cat([model.region(name) for name in ("mouth_cavity", "teeth", "tongue")])
    pixels = torch.isin(shown.triangle, inside).flatten(1).sum(1)
    is_open = faces.attributes[:, dataset.attribute("Mouth_Slightly_Open")]
    assert ((pixels >= 12) == is_open).float().mean() > 0.9
    assert 0.25 < is_open.float().mean() < 0.6


def test_an_open_mouth_has_its_lips_apart_in_the_picture(many):
    _, labels = many
    points = labels.landmarks
    gap = (points[:, [61, 62, 63]] - points[:, [67, 66, 65]]).norm(dim=2).mean(1)
    gap = gap / (points[:, 27] - points[:, 8]).norm(dim=1)
    is_open = column(many, "Mouth_Slightly_Open")
    assert gap[is_open].mean() > 3 * gap[~is_open].mean()
    jaw = labels.labels["expression_weights"][:, anny_head().expression_names.index("jawOpen")]
    assert is_open[jaw > 0.25].all()


def test_closed_eyes_are_closed_in_the_picture(many):
    _, labels = many
    points = labels.landmarks
    opening = (points[:, [41, 40, 47, 46], 1] - points[:, [37, 38, 43, 44], 1]).mean(1)
    opening = opening / (points[:, 27] - points[:, 8]).norm(dim=1)
    closed = column(many, "Eyes_Closed")
    assert opening[closed].mean() < 0.4 * opening[~closed].mean()
    names = anny_head().expression_names
    blink = labels.labels["expression_weights"][:, names.index("eyeBlinkLeft")]
    assert torch.equal(closed, blink > 0.8)


@pytest.mark.parametrize(
    ("blink", "closed"), [(0.3, False), (0.45, False), (0.75, True), (1.0, True)]
)
def test_eyes_are_closed_from_three_fifths_on(many, blink, closed):
    dataset, _ = many
    model = dataset.model
    faces = dataset.faces([dataset.seeds(0)])
    weights = model.expression(eyeBlinkLeft=blink, eyeBlinkRight=blink)
    shown = model.shape(faces.people.identity, weights)[:, model.landmarks]
    rest = attributes.landmarks_at_rest(model, faces.people.identity)
    evidence = attributes.Evidence(rest, shown, torch.zeros(1), faces.people.phenotype, faces.looks)
    assert attributes.decide(evidence)[0, dataset.attribute("Eyes_Closed")] == closed


def test_smiles_lift_the_corners_of_the_mouth(many):
    _, labels = many
    weights = labels.labels["expression_weights"]
    names = anny_head().expression_names
    smile = weights[:, [names.index(f"mouthSmile{side}") for side in ("Left", "Right")]].mean(1)
    assert torch.equal(column(many, "Smiling"), smile >= 0.35)


def test_shapes_are_those_of_the_measures():
    """A nose that is made wider is bigger and less pointed; lids moved together narrow the eyes."""
    model = anny_head()
    points = model.mean_mm[model.landmarks][None]
    before = measure(points)
    wide = points.clone()
    wide[:, [31, 35], 0] *= 1.3
    after = measure(wide)
    assert after["nose_size"] == pytest.approx(1.3 * float(before["nose_size"]), rel=0.01)
    assert after["nose_point"] < before["nose_point"] / 1.25
    narrow = points.clone()
    narrow[:, [37, 38, 43, 44], 1] -= 3
    assert measure(narrow)["eye_slit"] < before["eye_slit"] - 0.09
    assert measure(points * 1.7)["face_length"] == pytest.approx(float(before["face_length"]))


def test_stored_quantiles_are_the_population_s():
    """400 other people: a share of 0.3 has a standard deviation of 0.023 among them."""
    found = attributes.population_quantiles(400, seed=31)
    for name, levels in QUANTILES.items():
        assert found[name].keys() == levels.keys()
        width = levels[0.7] - levels[0.2]
        for level, value in levels.items():
            assert found[name][level] == pytest.approx(value, abs=0.35 * width), (name, level)
