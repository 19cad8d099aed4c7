"""What is read off transfers: who is chosen, what counts as outside, and known differences."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from facelab.assets import networks
from facelab.data.base import FaceDataset
from facelab.errors import CheckpointError, DatasetError, ImageError, ParameterError
from facelab.methods.diat import enhancement, evaluation, training
from facelab.methods.diat.evaluation import Faces
from facelab.methods.diat.masks import face_masks
from facelab.methods.diat.networks import TransformNetwork
from facelab.methods.diat.tasks import TASKS, find_task
from facelab.methods.diat.transfer import Transfer
from facelab.methods.diat.variants import derive
from facelab.recognition import face_readers
from facelab.recognition.embedder import Embedder
from facelab.recognition.face_points import require_size
from facelab.types import Batch

OPEN, CLOSE, FEMALE = (TASKS[name] for name in ("mouth_open", "mouth_close", "male_to_female"))
NAMES = ("Young", "Mouth_Slightly_Open", "Male")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count, size=16, seed=0):
    return torch.rand(count, 3, size, size, generator=seeded(seed)) * 2 - 1


class People(FaceDataset):
    """Random pictures of people; `has` says which have the mouth open, `masks` what they carry."""

    id, size, split, attribute_names = "people", 16, "all", NAMES

    def __init__(self, identity, has, masks=None):
        self.identity, self.has = torch.tensor(identity), torch.tensor(has)
        self.people, self.masks = int(self.identity.max()) + 1, masks
        self.images = pictures(len(identity))

    def config(self):
        return {}

    def batch(self, indices):
        rows = self.resolve(indices)
        attributes = torch.zeros(len(rows), 3, dtype=torch.bool)
        attributes[:, 1] = self.has[rows]
        batch = Batch(self.images[rows], self.identity[rows], attributes, masks={})
        if self.masks is not None:  # set later: Batch itself checks their size in tests
            batch.masks["mouth"] = self.masks[rows]
        return batch


class Plain(FaceDataset):
    """Pictures without labels."""

    id, size, split, people, identity = "plain", 16, "all", 3, torch.arange(3)

    def config(self):
        return {}

    def batch(self, indices):
        rows = self.resolve(indices)
        return Batch(pictures(3)[rows], self.identity[rows])


class Judge(face_readers.AttributeClassifier):
    """The mouth is open where a picture is bright."""

    def __init__(self):
        super().__init__(NAMES, face_readers.TINY)

    def forward(self, images):
        require_size(images)
        return images.mean((1, 2, 3))[:, None] * torch.tensor([100.0, 1.0, 7.0])


class Known(Embedder):
    """Twelve numbers: the means of a picture's quarters and colours."""

    id, size, template, threshold, threshold_squared = "known", 150, "dlib150", 1.0, 1.0

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.scale * nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) + 0.1


def left_half(count, size=16):
    """Masks that are 1 in the left half of a picture."""
    masks = torch.zeros(count, 1, size, size)
    masks[..., : size // 2] = 1
    return masks


def read(faces, task=OPEN, **how):
    return evaluation.read(faces, task, Judge(), Known(), **how)


# --- who is chosen -------------------------------------------------------------------------------

# Person 0 has six faces that can be chosen, 1 two, 2 one, 3 none, 4 four.
WHO = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4]
HAS = [0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0]
ABLE = {0: 6, 1: 2, 2: 1, 4: 4}


def people(masks=None):
    return People(WHO, [bool(has) for has in HAS], masks)


@pytest.mark.parametrize("count", range(1, 14))
def test_inputs_lack_the_attribute_and_are_spread_over_people(count):
    chosen = evaluation.choose_inputs(people(), OPEN, count, seed=3).tolist()
    assert chosen == sorted(set(chosen))
    assert len(chosen) == count
    assert not any(HAS[face] for face in chosen)
    given = {who: sum(WHO[face] == who for face in chosen) for who in ABLE}
    for who, faces in given.items():  # nobody is behind who has one more to give
        assert faces == ABLE[who] or faces >= max(given.values()) - 1


def test_the_seed_draws_who_and_which():
    drawn = {
        tuple(evaluation.choose_inputs(people(), OPEN, 2, seed=seed).tolist()) for seed in range(40)
    }
    assert {WHO[face] for pair in drawn for face in pair} == set(ABLE)
    assert {face for pair in drawn for face in pair if WHO[face] == 4} == {14, 15, 16, 17}
    once, again = (evaluation.choose_inputs(people(), OPEN, 5, seed=1) for _ in range(2))
    assert torch.equal(once, again)


def test_the_other_way_about():
    assert evaluation.choose_inputs(people(), CLOSE, 5).tolist() == [3, 8, 11, 12, 13]


def test_faces_that_cannot_be_chosen():
    with pytest.raises(DatasetError, match="plain has no labels of Mouth_Slightly_Open, so"):
        evaluation.choose_inputs(Plain(), OPEN, 1)
    with pytest.raises(DatasetError, match="all of the 2 faces of people have Mouth_Slightly_Open"):
        evaluation.choose_inputs(People([0, 1], [True, True]), OPEN, 1)
    with pytest.raises(DatasetError, match="none of the 2 faces of people have"):
        evaluation.choose_inputs(People([0, 1], [False, False]), OPEN, 1)
    for count in (0, 14):
        with pytest.raises(DatasetError, match=r"13 of people can be .*; ask for 1 to 13"):
            evaluation.choose_inputs(people(), OPEN, count)


# --- faces ---------------------------------------------------------------------------------------


def test_rows_stay_together():
    data = People([number // 2 for number in range(70)], [False] * 70, left_half(70))
    faces = evaluation.transfer_faces(lambda x: 3 * x, data, [69, 0, *range(1, 69)], task=OPEN)
    assert torch.equal(faces.images, data.images[[69, 0, *range(1, 69)]])
    assert torch.equal(faces.made, (3 * faces.images).clamp(-1, 1))
    assert faces.people.tolist()[:3] == [34, 0, 0]
    assert (len(faces), faces.masks.shape) == (70, (70, 1, 16, 16))


def test_a_transfer_that_does_nothing():
    faces = evaluation.transfer_faces(evaluation.unchanged, Plain(), [2, 1], task=FEMALE)
    assert torch.equal(faces.made, faces.images)
    assert faces.masks is None
    assert evaluation.transfer_faces(evaluation.unchanged, Plain(), [0]).masks is None
    with pytest.raises(DatasetError, match="no face of plain was chosen"):
        evaluation.transfer_faces(evaluation.unchanged, Plain(), [])


def test_masks_are_the_batch_s_or_found_in_the_faces_before():
    """A `Transfer` knows its task; without labels the landmarks of the inputs say where."""
    transfer = Transfer(OPEN, 16, TransformNetwork(training.TINY.transform)).eval()
    drawn = evaluation.transfer_faces(transfer, people(left_half(18)), range(18))
    assert torch.equal(drawn.masks, left_half(18))
    found = evaluation.transfer_faces(transfer, people(), [5, 6])
    assert torch.equal(found.masks, face_masks(people().images[[5, 6]], "mouth"))
    assert torch.equal(found.made, drawn.made[[5, 6]].clone())
    assert not found.made.requires_grad
    with pytest.raises(ImageError, match=r"masks of shape \(2, 1, 8, 8\) don't lie on 2 pictures"):
        evaluation.transfer_faces(transfer, people(left_half(18, 8)), [0, 1])


# --- what a loss saw -----------------------------------------------------------------------------


def test_a_config_says_who_was_seen():
    book = training.BOOK
    assert evaluation.embedders_seen(book) == ()
    assert evaluation.embedders_seen(derive(book, "diat-2")) == ("dlib",)
    blind = dataclasses.replace(derive(book, "diat-1"), identity="dlib-layers")
    assert evaluation.embedders_seen(blind) == ()
    vgg = dataclasses.replace(book, identity="vgg-face")
    assert evaluation.embedders_seen(vgg) == ("vgg-face",)
    local, world = (
        enhancement.Config(dataclasses.replace(vgg, task=task.name)) for task in (OPEN, FEMALE)
    )
    assert evaluation.embedders_seen(local) == ("dlib", "vgg-face")
    assert evaluation.embedders_seen(world) == ("vgg-face",), "equation 11 has no network"
    pixels = dataclasses.replace(local, betas=(0.1, 0.0, 0.0))
    assert evaluation.embedders_seen(pixels) == ("vgg-face",)


def test_a_file_says_who_was_seen(tmp_path):
    config = dataclasses.replace(training.TINY, identity="dlib-stages")
    network = TransformNetwork(config.transform)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    networks.save(first, training.METHOD, network, config=dataclasses.asdict(config))
    assert evaluation.embedders_of(first) == ("dlib",)
    both = dataclasses.replace(enhancement.TINY, game=derive(config, "diat-1"), layers="vgg-face")
    networks.save(second, enhancement.METHOD, network, config=dataclasses.asdict(both))
    assert evaluation.embedders_of(second) == ("vgg-face",)
    with pytest.raises(CheckpointError, match=r"none can't be read .*; give a file that"):
        evaluation.embedders_of(tmp_path / "none")
    networks.save(first, "other", network, config={})
    with pytest.raises(CheckpointError, match="is of other, diat-enhancement expected"):
        evaluation.embedders_of(first)


# --- readings ------------------------------------------------------------------------------------


def test_logits_say_whether_the_reference_attribute_is_there():
    grey = torch.stack([torch.full((3, 64, 64), level) for level in (-0.5, 0.25)])
    faces = Faces(grey, grey + 0.4, torch.arange(2), left_half(2, 64))
    seen, closed = read(faces), read(faces, CLOSE)
    torch.testing.assert_close(seen.before, torch.tensor([-0.5, 0.25]))
    torch.testing.assert_close(seen.after, torch.tensor([-0.1, 0.65]))
    assert torch.equal(closed.after, -seen.after)
    torch.testing.assert_close(read(faces, FEMALE).before, torch.tensor([3.5, -1.75]))


def test_readings_keep_to_their_rows():
    images, made = pictures(66, 64), pictures(66, 64, seed=1)
    faces = Faces(images, made, torch.arange(66), left_half(66, 64))
    last = Faces(images[65:], made[65:], torch.arange(1), left_half(1, 64))
    seen, one = read(faces), read(last)
    assert seen.embedder == "known"
    for name, value in vars(seen).items():
        if name != "embedder":
            assert len(value) == 66
            torch.testing.assert_close(value[65:], getattr(one, name), atol=1e-4, rtol=1e-4)
            assert not torch.allclose(value[64], getattr(one, name)[0])
    torch.testing.assert_close(seen.embeddings_after.norm(dim=1), torch.ones(66))
    square = 2 - 2 * (seen.embeddings_before * seen.embeddings_after).sum(1)
    torch.testing.assert_close(seen.identity, square, atol=1e-5, rtol=0)


def test_what_changes_inside_the_mask_is_no_change():
    images, masks = pictures(3), left_half(3)
    made = torch.where(masks == 1, pictures(3, seed=1), images)
    seen = read(Faces(images, made, torch.arange(3), masks))
    for values in (seen.change, seen.squared_change, seen.colour):
        assert values.tolist() == [0, 0, 0]
    assert (seen.identity > 0).all()
    world = read(Faces(images, made, torch.arange(3), masks), FEMALE)
    torch.testing.assert_close(world.change, (made - images).abs().mean((1, 2, 3)))


def test_a_known_change_outside():
    """0.25 on one channel of the right half: a third of it in the mean, of its square as well."""
    images, masks = torch.zeros(1, 3, 16, 16), left_half(1)
    made = images.clone()
    made[:, 1, :, 8:] -= 0.25
    made[..., :8] = 1.0
    seen = read(Faces(images, made, torch.arange(1), masks))
    assert seen.change.tolist() == pytest.approx([0.25 / 3])
    assert seen.squared_change.tolist() == pytest.approx([0.0625 / 3])
    outside = [evaluation.mean_lab(x[..., 8:], torch.ones(1, 1, 16, 8)) for x in (images, made)]
    assert seen.colour.tolist() == pytest.approx([float((outside[0] - outside[1]).norm())])


def test_a_pattern_is_an_artefact_and_a_blur_the_opposite():
    """A chequerboard of 0.1: the Gaussian takes all of it but its answer to that frequency."""
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    board = 0.1 * (1 - 2.0 * ((rows + columns) % 2))
    flat = torch.full((1, 3, 16, 16), 0.3)
    taps = [math.exp(-place * place / 2) for place in range(-4, 5)]
    answer = sum(tap * (-1) ** place for place, tap in enumerate(taps, -4)) / sum(taps)
    wanted = (0.1 * (1 - answer**2)) ** 2
    people, masks = torch.arange(1), left_half(1)
    seen = read(Faces(flat, flat + board, people, masks))
    assert seen.artefacts.tolist() == pytest.approx([wanted], rel=1e-4)
    back = read(Faces(flat + board, flat, people, masks))
    assert back.artefacts.tolist() == pytest.approx([-wanted], rel=1e-4)


def test_a_reading_that_cannot_be():
    faces = Faces(pictures(2), pictures(2), torch.arange(2))
    with pytest.raises(ImageError, match="faces of mouth_open came without masks; give transfer_f"):
        read(faces)
    whole = dataclasses.replace(faces, masks=torch.ones(2, 1, 16, 16))
    with pytest.raises(ImageError, match="a mask covers all of its picture"):
        read(whole)
    other = dataclasses.replace(faces, masks=torch.zeros(2, 1, 8, 8))
    with pytest.raises(ImageError, match=r"masks of shape \(2, 1, 8, 8\) don't lie on 2"):
        read(other)
    with pytest.raises(ParameterError, match="known can't judge a network whose loss"):
        read(faces, FEMALE, seen=("known",))
    with pytest.raises(ParameterError, match="the judge does not know Eyeglasses; it knows: Young"):
        read(faces, find_task("glasses_removal"))


def test_the_judge_and_the_recogniser_of_the_book():
    """Faces of another size are read as if of 64; nothing that was changed is known again."""
    faces = Faces(pictures(2, 32), pictures(2, 32), torch.arange(2))
    seen = evaluation.read(faces, FEMALE, embedder=Known(), seen=("dlib",))
    assert torch.equal(seen.before, seen.after)
    column = face_readers.attribute_judge().names.index("Male")
    enlarged = nn.functional.interpolate(faces.images, (64, 64), mode="bilinear")
    with torch.no_grad():
        twin = -face_readers.attribute_judge()(enlarged)[:, column]
    assert (seen.before - twin).abs().max() < 1


# --- colours -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # of sRGB's primaries and greys under D65, as tables have them
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0.0, 0.0)),
        ((1, 1, 1), (0.27, 0.0, 0.0)),  # dark: sRGB and Lab are straight lines there
    ],
)
def test_known_colours(rgb, lab):
    image = (torch.tensor(rgb) / 127.5 - 1)[None, :, None, None].expand(1, 3, 4, 4)
    found = evaluation.mean_lab(image, torch.ones(1, 1, 4, 4))
    torch.testing.assert_close(found, torch.tensor([lab]), atol=0.03, rtol=0)


def test_colours_are_averaged_as_light_and_where_they_are_kept():
    """Half black and half white is half of the light: L* = 116 (1/2)^(1/3) - 16."""
    image = torch.full((1, 3, 4, 6), -1.0)
    image[..., 2:4], image[..., 4:] = 1.0, 0.2
    keep = torch.ones(1, 1, 4, 6)
    keep[..., 4:] = 0
    lightness, *rest = evaluation.mean_lab(image, keep)[0].tolist()
    assert lightness == pytest.approx(116 * 0.5 ** (1 / 3) - 16, abs=1e-3)
    assert rest == pytest.approx([0, 0], abs=1e-3)
