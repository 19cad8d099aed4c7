import dataclasses

import pytest
import torch
from torch.utils.data import DataLoader

from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import collate
from facelab.data.card import card
from facelab.data.seeding import identity_seeds, split_of
from facelab.errors import ParameterError
from facelab.geometry.camera import euler_from_rotation, rotation_from_euler
from facelab.geometry.painting import textures
from facelab.geometry.render import portrait
from facelab.geometry.scene import dress
from facelab.images import to_uint8
from facelab.recognition.align import find_template
from facelab.recognition.face_points import five_points


def same_labels(a, b) -> None:
    """Both batches' labels are equal to the last bit."""
    for name in ("identity", "attributes", "landmarks", "euler_rad"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert a.labels.keys() == b.labels.keys()
    for name, value in a.labels.items():
        assert torch.equal(value, b.labels[name]), name


def same_pictures(a, b) -> None:
    """Written to a file, at most a level differs, in at most a thousandth of the values."""
    difference = (to_uint8(a).int() - to_uint8(b).int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() <= 1e-3


def test_a_face_is_the_same_in_any_order_and_batch(faces, drawn):
    order = torch.tensor([16, 2, 9])
    again = faces.batch(order)
    same_labels(again, drawn.rows(order))
    same_pictures(again.images, drawn.images[order])
    alone = faces[9]
    same_labels(alone, drawn.rows(torch.tensor([9])))
    same_pictures(alone.images, drawn.images[9:10])


def test_a_face_follows_from_its_two_seeds(faces, drawn):
    other = AnnyFaces(64, 3, 2, seed=77)
    identity, view = faces.seeds(4)
    face = other.render(identity, view)
    same_pictures(face.images, drawn.images[4:5])
    assert torch.equal(face.landmarks, drawn.landmarks[4:5])
    assert face.identity.item() == -1
    assert faces.render(identity, view).identity.item() == faces.identity[4]


def test_a_person_s_views_do_not_depend_on_the_others(faces):
    other = AnnyFaces(64, faces.people_seeds[::-1], 3, seed=1)
    assert [other.seeds(index) for index in range(3)] == [faces.seeds(i) for i in (15, 16, 17)]


def test_labels_without_drawing_are_the_same(faces, drawn):
    same_labels(faces.labels(range(len(faces))), drawn)


def test_a_view_knows_nothing_of_the_person():
    dataset = AnnyFaces(64, 3, [5, 6], seed=9)
    labels = dataset.labels(range(6))
    for name in ("expression_weights", "light_harmonics", "light_direction", "view_seed"):
        assert torch.equal(labels.labels[name][:2], labels.labels[name][2:4]), name
    assert torch.equal(labels.euler_rad[:2], labels.euler_rad[4:])
    assert not torch.equal(labels.labels["identity_coefficients"][0],
                           labels.labels["identity_coefficients"][2])  # fmt: skip


def test_a_person_is_constant_and_a_view_is_not(faces, drawn):
    for name in ("identity_coefficients", "phenotype", "looks_melanin", "looks_noise"):
        rows = drawn.labels[name].reshape(6, 3, -1)
        assert torch.equal(rows[:, 0], rows[:, 2]), name
        assert not torch.equal(rows[0], rows[1]), name
    assert drawn.euler_rad[:, 0].unique().numel() == len(faces)
    assert faces.of_person(2).tolist() == [6, 7, 8]


def test_pictures_vary_more_between_people_than_they_are_equal(drawn):
    flat = drawn.images.flatten(1)
    apart = torch.cdist(flat, flat) + 1e3 * torch.eye(len(flat))
    # Two pictures of one person are far from equal: pose, light and background change.
    assert apart.min() > 5


def test_splits_hold_whole_people():
    seeds = {s: set(AnnyFaces(64, 40, 1, split=s).people_seeds) for s in ("train", "test")}
    assert not seeds["train"] & seeds["test"]
    assert {split_of(person) for person in seeds["test"]} == {"test"}


def test_eyes_and_mouth_lie_where_the_template_has_them(many):
    _, labels = many
    five = five_points(labels.landmarks)
    template = find_template("book64").points_xy
    assert (five.mean(0) - template).abs().max() < 1.6
    middle = five.mean(1) - template.mean(0)
    assert (middle.mean(0).abs() < 0.2).all()
    assert 0.4 < middle.std() < 1.2
    large = AnnyFaces(160, 400, 1, seed=2).labels([0, 1]).landmarks
    expected = (labels.landmarks[:2] + 0.5) * 2.5 - 0.5
    torch.testing.assert_close(large, expected, rtol=0, atol=0.01)


def test_a_portrait_shows_head_and_shoulders(faces):
    portraits = AnnyFaces(64, 6, 3, seed=1, framing="portrait")
    close, wide = faces.labels(range(18)).landmarks, portraits.labels(range(18)).landmarks
    eyes = [(points[:, 36] - points[:, 45]).norm(dim=1) for points in (close, wide)]
    assert (eyes[1] < 0.85 * eyes[0]).all()
    assert ((wide > 0) & (wide < 63)).all()


def test_labels_agree_with_the_picture(faces, drawn):
    """Each kind of landmark lies on the region of the picture that it belongs to."""
    scenes = faces.faces([faces.seeds(index) for index in range(len(faces))])
    scene = dress(faces.model, scenes.vertices, scenes.looks)
    rotation = rotation_from_euler(*drawn.euler_rad.unbind(1))
    turned = torch.einsum("bvc,bdc->bvd", scene.vertices, rotation)
    scene = dataclasses.replace(scene, vertices=turned)
    picture = portrait(
        scene, textures(scenes.looks), scenes.camera, scenes.views.light,
        torch.zeros(1, 3, 1, 1), size=64,
    )  # fmt: skip
    # It is the dataset's own picture, but for the background.
    assert (picture.coverage - drawn.coverage).abs().mean() < 1e-4
    frontal = drawn.euler_rad[:, 0].abs() < 0.5
    names = scene.region_names

    def share(points: list[int], regions: list[str], spread: int) -> float:
        """The share of landmarks that have one of the regions within `spread` pixels."""
        wanted = torch.tensor([names.index(region) for region in regions])
        shown = torch.isin(picture.regions, wanted).float()[:, None]
        near = torch.nn.functional.max_pool2d(shown, 2 * spread + 1, 1, spread)[:, 0]
        x, y = drawn.landmarks[frontal][:, points].round().long().clamp(0, 63).unbind(2)
        rows = torch.nonzero(frontal).expand(-1, len(points))
        return float(near[rows, y, x].mean())

    assert share(list(range(48, 60)), ["lips", "mouth_cavity", "teeth", "tongue"], 1) > 0.97
    assert share(list(range(36, 48)), ["eyes", "iris"], 2) > 0.75
    assert share(list(range(27, 36)), ["skin", "eyeglasses"], 0) > 0.97
    glasses = picture.regions == names.index("eyeglasses")
    outside = glasses & ~drawn.masks["eyeglasses"][:, 0].bool()
    assert glasses.sum() > 50
    # The ends of the temples and, on a head that is turned, a bit of the farther rim.
    assert outside.sum() < 0.05 * glasses.sum()
    mouth = torch.isin(picture.regions, torch.tensor(
        [names.index(n) for n in ("lips", "mouth_cavity", "teeth", "tongue")]))  # fmt: skip
    assert (mouth & ~drawn.masks["mouth"][:, 0].bool()).sum() < 0.01 * mouth.sum()


def test_angles_are_the_camera_s(faces, drawn):
    yaw, pitch, roll = euler_from_rotation(rotation_from_euler(*drawn.euler_rad.unbind(1)))
    torch.testing.assert_close(torch.stack([yaw, pitch, roll], 1), drawn.euler_rad)
    # A head turned to its left has its nose to the right of the middle of its eyes.
    nose = drawn.landmarks[:, 30, 0] - drawn.landmarks[:, 36:48, 0].mean(1)
    turned = drawn.euler_rad[:, 0].abs() > 0.15
    assert torch.equal(nose[turned] > 0, drawn.euler_rad[turned, 0] > 0)


def test_a_loader_gives_batches(faces):
    class Labels(AnnyFaces):
        batch = AnnyFaces.labels

    loader = DataLoader(Labels(64, 4, 2), batch_size=3, collate_fn=collate)
    assert [len(batch) for batch in loader] == [3, 3, 2]
    both = collate([faces.labels([0]), faces.labels([1, 2])])
    same_labels(both, faces.labels([0, 1, 2]))


def test_the_config_tells_datasets_apart(faces):
    again = AnnyFaces(64, 6, 3, seed=1)
    assert again.config_hash == faces.config_hash
    others = [
        AnnyFaces(96, 6, 3, seed=1),
        AnnyFaces(64, 7, 3, seed=1),
        AnnyFaces(64, 6, 4, seed=1),
        AnnyFaces(64, 6, 3, seed=2),
        AnnyFaces(64, 6, [1, 2, 3], seed=1),
        AnnyFaces(64, identity_seeds(6, 9), 3, seed=1),
        AnnyFaces(64, 6, 3, seed=1, framing="portrait"),
        AnnyFaces(64, 6, 3, seed=1, shadows=False),
    ]
    assert len({faces.config_hash, *(other.config_hash for other in others)}) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 8}, "faces of 8 pixels can't be drawn; give a size from 16 to 1024"),
        ({"identities": 0}, "0 identities make no dataset"),
        ({"views": -1}, "-1 views make no dataset"),
        ({"identities": 10**6, "views": 10**4}, "are more than 50,000,000 faces"),
        ({"framing": "tight"}, "no framing 'tight'; choose one of: book, portrait"),
        ({"masks": ("hat",)}, "no mask 'hat'"),
        ({"split": "dev"}, "no split 'dev'"),
        ({"identities": [4, 4]}, "given twice"),
    ],
)
def test_what_can_t_be(arguments, message):
    with pytest.raises(ParameterError, match=message):
        AnnyFaces(**arguments)


def test_a_person_of_another_split_is_refused():
    stranger = identity_seeds(1, 0, "test")
    with pytest.raises(ParameterError, match="belongs to the split 'test', not to 'train'"):
        AnnyFaces(64, stranger, 1, split="train")


def test_past_the_end(faces):
    with pytest.raises(IndexError):
        faces[18]
    with pytest.raises(ParameterError, match="18 faces, there is no number 18; give 0 to 17"):
        faces.labels([18])
    assert torch.equal(faces.labels([-1]).landmarks, faces.labels([17]).landmarks)


def test_the_card_says_what_it_must(faces):
    text = card()
    for words in ("Composition", "How it is made", "Not to judge people", "Known gaps", "Licence",
                  "caricatures", "Adults only", "No scanned people", "CC0"):  # fmt: skip
        assert words in text
    assert all(f"`{name}`" in text for name in faces.attribute_names)
    assert "{" not in text
