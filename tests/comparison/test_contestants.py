"""Each method at strengths where its answer is known, with small random networks."""

import dataclasses

import pytest
import torch
from torch import nn

from facelab.comparison import contestants
from facelab.comparison.cases import COMMON, Heads, Task, make_case
from facelab.comparison.contestants import (
    METHODS,
    Contestant,
    D2ae,
    Diat,
    Ganfaces,
    Ganid,
    Idmap,
    contestant,
)
from facelab.data.anny_faces import AnnyFaces
from facelab.errors import AssetError, ParameterError
from facelab.generators.dcgan import DCGAN
from facelab.generators.generator import Generator
from facelab.methods.d2ae.config import TINY as TINY_D2AE
from facelab.methods.d2ae.editing import Direction, edited
from facelab.methods.d2ae.model import Disentangler
from facelab.methods.diat.networks import Shape, TransformNetwork
from facelab.methods.diat.tasks import find_task
from facelab.methods.diat.transfer import Transfer
from facelab.methods.ganfaces.networks import Shape as Width
from facelab.methods.ganfaces.networks import Translator
from facelab.methods.ganid import greedy
from facelab.methods.idmap.config import TINY as TINY_IDMAP
from facelab.methods.idmap.identity_encoder import IdentityEncoder
from facelab.methods.idmap.model import Encoders, IdentityMap
from facelab.recognition.pictures import template_of_size

OPEN, CLOSE = (Task(find_task(f"mouth_{name}")) for name in ("open", "close"))
FEMALE, PERSON = Task(find_task("male_to_female")), Task()


@pytest.fixture
def opening(pool):
    return make_case(pool, OPEN, 3)


@pytest.fixture
def person(pool):
    return make_case(pool, PERSON, 3)


@pytest.fixture
def with_heads(person):
    """The same, as if three heads in a view each had been drawn."""
    faces = AnnyFaces(64, 6, 1, split="test", shadows=False)
    seeds = [faces.seeds(index) for index in range(6)]
    return dataclasses.replace(person, heads=Heads(faces, tuple(seeds[:3]), tuple(seeds[3:])))


# --- diat ----------------------------------------------------------------------------------------


@pytest.fixture
def diat(seeded):
    network = seeded(lambda: TransformNetwork(Shape(width=4, blocks=1)))
    transfer = Transfer(OPEN.change, 64, network.eval().requires_grad_(False))
    return Diat({"mouth_open": transfer}, {"mouth_open": ("dlib",)})


def test_diat_mixes_its_answer_with_the_face(diat, opening):
    change, made = diat.begin(opening), diat.transfers["mouth_open"](opening.faces)
    assert torch.equal(change(0.0), opening.faces)
    torch.testing.assert_close(change(1.0), made)
    torch.testing.assert_close(change(0.5), (opening.faces + made) / 2)
    assert change(1.5).abs().max() <= 1


def test_diat_keeps_the_person_and_does_what_it_has(diat, opening, person):
    assert diat.refusal(opening) is None
    assert "keeps the person" in diat.refusal(person)
    closing = dataclasses.replace(opening, task=CLOSE)
    assert diat.refusal(closing) == "no checkpoint of mouth_close is shipped"
    assert [diat.seen(task) for task in (OPEN, CLOSE, PERSON)] == [("dlib",), (), ()]
    assert diat.cost(CLOSE) is diat.cost(PERSON) is None


# --- idmap ---------------------------------------------------------------------------------------


@pytest.fixture
def idmap(seeded, judges):
    recogniser = judges.embedders[0]
    config = dataclasses.replace(TINY_IDMAP, w=8, identity_features=48, embedder="first")
    generator = seeded(lambda: DCGAN(8, width=2)).eval().requires_grad_(False)
    encoders = seeded(lambda: Encoders(config), 1)
    return Idmap(IdentityMap(encoders, IdentityEncoder(recogniser), generator))


@pytest.mark.parametrize("task", [OPEN, PERSON])
def test_idmap_goes_from_the_face_to_the_other(idmap, pool, task):
    case = make_case(pool, task, 3)
    change = idmap.begin(case)
    torch.testing.assert_close(change(0.0), idmap.model(case.faces, case.faces))
    pair = (case.others, case.faces) if task.change is None else (case.faces, case.others)
    torch.testing.assert_close(change(1.0), idmap.model(*pair))
    assert not torch.allclose(change(0.0), change(1.0))
    assert idmap.refusal(case) is None


def test_idmap_needs_more_than_was_trained(idmap):
    cost = idmap.cost(PERSON)
    own = sum(p.numel() for p in idmap.model.encoders.parameters())
    drawn = sum(p.numel() for p in idmap.model.generator.parameters())
    assert (cost.trained, cost.needed) == (own, own + drawn + 1)
    assert idmap.seen(PERSON) == ("first",)


# --- d2ae ----------------------------------------------------------------------------------------


@pytest.fixture
def d2ae(seeded):
    config = dataclasses.replace(TINY_D2AE, people=5)
    model = seeded(lambda: Disentangler(config))
    model.parts["spread"]["p"].statistics.running_var.fill_(100.0)  # 0 in a new one: no way to go
    vector = torch.zeros(config.features)
    vector[0] = 1
    direction = Direction("Mouth_Slightly_Open", "p", vector)
    return D2ae(model, {direction.name: direction})


def framed(case, contestant):
    return case.framed(contestant.template)


def test_d2ae_moves_f_t_to_the_other(d2ae, person):
    case = framed(person, d2ae)
    change = d2ae.begin(case)
    torch.testing.assert_close(change(0.0), d2ae.model(case.faces))
    torch.testing.assert_close(change(1.0), d2ae.model.swap(case.others, case.faces))


@pytest.mark.parametrize(("task", "sign"), [(OPEN, 1), (CLOSE, -1)])
def test_d2ae_moves_along_the_direction_or_against_it(d2ae, pool, task, sign):
    case = framed(make_case(pool, task, 3), d2ae)
    wanted, opposite = (
        edited(d2ae.model, case.faces, {"Mouth_Slightly_Open": strength}, d2ae.directions)
        for strength in (sign * 0.5, -sign * 0.5)
    )
    torch.testing.assert_close(d2ae.begin(case)(0.5), wanted)
    assert (wanted - opposite).abs().max() > 0.01


def test_d2ae_says_which_direction_it_lacks(d2ae, opening):
    assert d2ae.refusal(opening) is None
    lacking = dataclasses.replace(d2ae, directions={})
    assert lacking.refusal(opening) == "there is no direction of Mouth_Slightly_Open"
    assert d2ae.seen(OPEN) == ()


def test_without_directions_d2ae_still_changes_the_person(monkeypatch, person, opening):
    def missing():
        raise AssetError("there are none")

    monkeypatch.setattr(contestants.d2ae_directions, "book", missing)
    found = contestant("d2ae")
    assert found.refusal(person) is None
    assert "no direction" in found.refusal(opening)


# --- ganfaces ------------------------------------------------------------------------------------


@pytest.fixture
def ganfaces(seeded):
    network = seeded(lambda: Translator(Width(width=4, blocks=1))).eval().requires_grad_(False)
    return Ganfaces(network, 64, ("dlib",))


def test_ganfaces_translates_the_drawn_answer(ganfaces, with_heads):
    made = ganfaces.begin(with_heads)(1.0)
    torch.testing.assert_close(made, ganfaces.generator(with_heads.heads.answer(PERSON)))


def test_ganfaces_needs_a_head_that_can_do_it(ganfaces, person, with_heads):
    assert "of which heads" in ganfaces.refusal(person)
    assert ganfaces.refusal(with_heads) is None
    glasses = dataclasses.replace(with_heads, task=FEMALE)
    assert "no such attribute" in ganfaces.refusal(glasses)
    assert ganfaces.knob(PERSON).strengths == (1.0,)


# --- ganid ---------------------------------------------------------------------------------------


class Shades(Generator):
    """The two numbers of a latent vector are the levels of the picture's halves, times 0.2."""

    id, latents, size, prior = "shades", 2, 64, "normal"

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.2), requires_grad=False)

    def sample_latent(self, count, random):
        return torch.randn(count, 2, generator=random)

    def mapping(self, latent):
        return latent

    def synthesis(self, w):
        rows = torch.arange(64) // 32
        return (self.gain * w)[:, rows][:, None, :, None].expand(-1, 3, -1, 64)


@pytest.fixture
def ganid(judges, monkeypatch):
    def vectors(generator, samples, attributes):
        return {"mouth": torch.tensor([1.0, 0.0])} if attributes[0].name == "mouth" else {}

    monkeypatch.setattr(contestants.arithmetic, "vectors_for", vectors)
    config = greedy.Config(initial=20, per_pass=10, coarse_passes=0)
    return Ganid(Shades(), judges.embedders[0], config, budget=40)


def test_ganid_edits_what_a_search_finds(ganid, opening):
    change = ganid.begin(opening)
    found = change(0.0)[:, 0, [0, 63], 0] / 0.2
    edited_levels = change(1.5)[:, 0, [0, 63], 0] / 0.2
    torch.testing.assert_close(edited_levels, found + torch.tensor([1.5, 0.0]))
    # 20 of the bank that all three share, and 20 more each.
    drawn = len(ganid.bank)
    assert ganid.scorer.evaluations == drawn + 3 * 20 + 2 * 3


def test_ganid_finds_the_nearest_of_all_that_it_tried(ganid, opening):
    levels = torch.tensor([[1.0, -2.0], [0.5, 1.5], [-1.0, 1.0]])
    faces = ganid.generator(levels)
    found = ganid.begin(dataclasses.replace(opening, faces=faces))(0.0)
    own, chance = (found - faces).abs().mean(), (faces.roll(1, 0) - faces).abs().mean()
    assert own < chance / 2


def test_ganid_takes_away_with_the_opposite_vector(ganid, opening):
    assert torch.equal(ganid.vector(OPEN), -ganid.vector(CLOSE))


def test_ganid_refuses_what_no_search_can_hold(ganid, opening, person):
    assert ganid.refusal(opening) is None
    assert "nothing holds pose" in ganid.refusal(person)
    assert ganid.refusal(dataclasses.replace(opening, task=FEMALE)) == "no vector of the attribute"


def test_ganid_saw_faceres_where_it_labelled(ganid):
    assert ganid.seen(OPEN) == ganid.seen(PERSON) == ("first",)
    assert ganid.seen(FEMALE) == ("first", "faceres")
    assert (ganid.cost(OPEN).trained, ganid.cost(OPEN).training_minutes) == (0, 0)


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ganfaces", "diat", "idmap", "d2ae"])
def test_shipped_methods_share_the_common_framing(name):
    found = contestant(name)
    assert isinstance(found, Contestant)
    assert found.name == name
    assert found.template == COMMON


def test_a_strength_of_one_is_on_every_curve(ganid, diat, idmap, d2ae, ganfaces):
    for method in (ganid, diat, idmap, d2ae, ganfaces):
        for task in (OPEN, PERSON):
            assert 1.0 in method.knob(task).strengths


def test_an_unknown_method_is_told():
    with pytest.raises(ParameterError, match="no method 'stargan'; choose one of: ganid, ganf"):
        contestant("stargan")
    assert list(METHODS) == ["ganid", "ganfaces", "diat", "idmap", "d2ae"]


def test_rows_are_done_in_parts():
    seen = []

    def double(rows):
        seen.append(len(rows))
        return 2 * rows

    rows = torch.arange(130.0)[:, None]
    assert torch.equal(contestants.in_parts(double, rows), 2 * rows)
    assert seen == [64, 64, 2]


def test_faces_of_another_size_have_their_own_template(ganfaces):
    small = dataclasses.replace(ganfaces, size=32)
    assert small.template == template_of_size("book64", 32) != COMMON
