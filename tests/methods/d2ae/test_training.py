"""Section 3.5: what each loss moves and what it must not, in one pass; data; runs."""

import copy
import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from facelab.data.mixture import Repeated
from facelab.engine import loop, methods
from facelab.engine.players import gather
from facelab.engine.settings import Settings
from facelab.errors import DatasetError, ParameterError
from facelab.methods.d2ae import training
from facelab.methods.d2ae.networks import encode
from facelab.methods.d2ae.training import Disentangling

ROUTES = {
    "identity": {"encoder", "distilling", "identity"},
    "classification": {"hidden"},
    "dispelling": {"encoder", "dispelling"},
    "reconstruction": {"encoder", "distilling", "dispelling", "decoder"},
    "augmented": {"encoder", "distilling", "dispelling", "decoder"},
}


def parameters(game, names=None) -> dict[str, torch.Tensor]:
    """Return parameters by network and name."""
    return {
        f"{name}.{key}": value
        for name in names or game.networks
        for key, value in game.networks[name].named_parameters()
    }


def slopes(loss, wanted) -> dict[str, torch.Tensor]:
    """Return the slopes of a loss, zero for what it does not reach."""
    found = torch.autograd.grad(loss, list(wanted.values()), retain_graph=True, allow_unused=True)
    pairs = zip(wanted.items(), found, strict=True)
    return {key: torch.zeros_like(p) if slope is None else slope for (key, p), slope in pairs}


def moved(game, loss) -> set[str]:
    """Return the networks that a loss gives a slope other than zero, all being free to move."""
    found = slopes(loss, parameters(game))
    return {key.partition(".")[0] for key, slope in found.items() if slope.abs().max() > 0}


def warm(game, batch, step):
    """Let the running deviations see a batch, so that there is noise."""
    game.terms(batch, step())
    return game


# --- which loss moves what -----------------------------------------------------------------------


@pytest.mark.parametrize("term", ROUTES)
def test_what_each_loss_moves_and_what_it_must_not(game_of, batch, step, term):
    game = warm(game_of(), batch, step)
    terms = game.terms(batch, step())
    assert terms.keys() == ROUTES.keys()
    assert moved(game, terms[term].sum()) == ROUTES[term]


@pytest.mark.parametrize("term", ROUTES)
def test_every_parameter_on_a_losss_way_is_moved(game_of, batch, step, term):
    """All of them but biases before a normalisation, which there are none of."""
    game = warm(game_of(), batch, step)
    found = slopes(game.terms(batch, step())[term].sum(), parameters(game, ROUTES[term]))
    still = [key for key, slope in found.items() if not slope.abs().max() > 0]
    assert still == []


def test_the_whole_objectives_slope_is_the_sum_of_the_routed_losses(game_of, batch, step):
    """The twin takes each loss apart, unrouted, and keeps the slopes of what it is to move."""
    game = warm(game_of(), batch, step)
    weights = {"identity": 1.0, "classification": 0.1, "dispelling": 0.1}
    weights |= {"reconstruction": 1.0, "augmented": 1.0}
    assert game.phases()[0].weights == weights
    twin = copy.deepcopy(game)
    terms = game.terms(batch, step())
    sum(weights[name] * term.mean() for name, term in terms.items()).backward()
    wanted = {key: torch.zeros_like(p) for key, p in parameters(twin).items()}
    for name, loss in unrouted(twin, batch, step()).items():
        for key, slope in slopes(loss, parameters(twin, ROUTES[name])).items():
            wanted[key] += weights[name] * slope
    for key, p in parameters(game).items():
        torch.testing.assert_close(p.grad, wanted[key], rtol=1e-4, atol=1e-6, msg=key)


def unrouted(game, batch, step) -> dict[str, torch.Tensor]:
    """Return the means of equations 2 to 4 as they stand, with nothing detached."""
    nets, x, who = game.networks, batch.images, batch.identity
    maps = nets["encoder"](x)
    plain = [nets[name](maps) for name in ("distilling", "dispelling")]
    noise = torch.randn(len(x), 10, generator=step.random).split(5, dim=1)
    seen = []
    for code, own, name in zip(plain, noise, "tp", strict=True):
        nets["spread"][name].observe(code)
        seen.append(code + own * nets["spread"][name].deviation)
    hidden = nets["hidden"](seen[1])
    pairs = [torch.cat(pair) for pair in zip(plain, seen, strict=True)]
    made, disturbed = nets["decoder"](*pairs).split(len(x))
    return {
        "identity": F.cross_entropy(nets["identity"](seen[0]), who),
        "classification": F.cross_entropy(hidden, who),
        "dispelling": -hidden.log_softmax(1).mean(),
        "reconstruction": (x - made).square().sum() / 2 / 16**2 / len(x),
        "augmented": (x - disturbed).square().sum() / 2 / 16**2 / len(x),
    }


def test_without_a_classifiers_loss_dispelling_moves_the_classifier(game_of, batch, step):
    """Section 5.2."""
    game = game_of(classify=False)
    terms = game.terms(batch, step())
    assert "classification" not in terms
    assert moved(game, terms["dispelling"].sum()) == {"encoder", "dispelling", "hidden"}


def test_a_step_of_the_branch_p_makes_its_classifier_less_sure(game_of, batch, step):
    """A step against L_H's slope brings the classifier's answer nearer to uniform."""
    game = game_of(augment=False)
    before = game.terms(batch, step())["dispelling"].mean()
    wanted = parameters(game, ("dispelling",))
    found = slopes(before, wanted)
    with torch.no_grad():
        for key, p in wanted.items():
            p -= 0.05 * found[key]
    after = game.terms(batch, step())["dispelling"].mean()
    assert math.log(5) <= after.item() < before.item()


def test_the_printed_sign_turns_dispelling_round(game_of, batch, step):
    right, printed = (game_of(dispelling=name) for name in ("uniform", "as-printed"))
    terms = [game.terms(batch, step()) for game in (right, printed)]
    torch.testing.assert_close(terms[0]["dispelling"], -terms[1]["dispelling"])
    for name in ("identity", "classification", "reconstruction"):
        torch.testing.assert_close(terms[0][name], terms[1][name])
    assert moved(printed, terms[1]["dispelling"].sum()) == {"encoder", "dispelling"}


# --- augmentation --------------------------------------------------------------------------------


def test_augmented_features_have_the_noise_of_equation_5(game_of, batch, step):
    game = game_of()
    for number, spread in enumerate(game.networks["spread"].values(), 2):
        spread.statistics.running_var.fill_(number**2)
    features = encode(game.networks, batch.images)
    seen = training.augmented(game.networks, features, step())
    noise = torch.randn(6, 10, generator=step().random)
    torch.testing.assert_close(seen.t, features.t + 2 * noise[:, :5])
    torch.testing.assert_close(seen.p, features.p + 3 * noise[:, 5:])


def test_what_sees_augmented_features(game_of, batch, step):
    """Other noise changes all terms but L_X of the plain features."""
    game = warm(game_of(), batch, step)
    game.networks["decoder"].eval()  # whose normalisation would see the noise of the other half
    other = dataclasses.replace(step(), random=torch.Generator().manual_seed(8))
    first, second = (
        copy.deepcopy(game).terms(batch, step()),
        copy.deepcopy(game).terms(batch, other),
    )
    same = {name for name in first if torch.equal(first[name], second[name])}
    assert same == {"reconstruction"}


def test_without_augmentation_there_is_no_noise(game_of, batch, step):
    game = warm(game_of(augment=False), batch, step)
    other = dataclasses.replace(step(), random=torch.Generator().manual_seed(8))
    first, second = game.terms(batch, step()), game.terms(batch, other)
    assert first.keys() == ROUTES.keys() - {"augmented"}
    for name in first:
        torch.testing.assert_close(first[name], second[name])


def test_a_step_observes_each_code_once(game_of, batch, step):
    game = game_of()
    game.terms(batch, step())
    features = encode(game.networks, batch.images)
    for name, code in zip("tp", features, strict=True):
        spread = game.networks["spread"][name]
        assert int(spread.statistics.num_batches_tracked) == 1
        torch.testing.assert_close(spread.deviation.square(), 0.1 * code.detach().var(0))


# --- what there is, and what moves ---------------------------------------------------------------


def test_one_phase_moves_all_with_the_papers_optimiser(game_of):
    (phase,) = game_of(milestones=(3, 9), weight_decay=0.01).phases()
    assert set(phase.parameters) == set().union(*ROUTES.values())
    o = phase.optimiser
    assert (o.name, o.learning_rate, o.momentum, o.weight_decay) == ("sgd", 0.01, 0.9, 0.01)
    assert (o.schedule, o.milestones, o.factor) == ("milestones", (3, 9), 0.1)
    assert game_of().phases()[0].optimiser.schedule == "constant"


@pytest.mark.parametrize(
    ("changes", "terms", "networks"),
    [
        ({"dispel": False}, {"dispelling"}, set()),
        ({"classify": False}, {"classification"}, set()),
        ({"classify": False, "dispel": False}, {"classification", "dispelling"}, {"hidden"}),
        ({"decode": False}, {"reconstruction", "augmented"}, {"decoder"}),
        ({"augment": False}, {"augmented"}, set()),
    ],
)
def test_what_is_left_out(game_of, batch, step, changes, terms, networks):
    game, whole = game_of(**changes), game_of()
    found = game.terms(batch, step())
    assert found.keys() == ROUTES.keys() - terms == game.phases()[0].weights.keys()
    assert game.networks.keys() == whole.networks.keys() - networks
    gather(game.phases(), game.networks)


def test_the_baseline_is_a_recogniser(game_of, batch, step):
    game = game_of(classify=False, dispel=False, decode=False)
    assert set(game.networks) == {"encoder", "distilling", "spread", "identity"}
    assert game.averaged == ("encoder", "distilling", "spread")
    terms = game.terms(batch, step())
    assert terms.keys() == {"identity"}
    assert moved(game, terms["identity"].sum()) == {"encoder", "distilling", "identity"}
    assert game.preview(game.networks, batch).shape == (12, 3, 16, 16)


def test_a_checkpoint_has_no_classifier(game_of):
    game = game_of(weights={"adversarial": 0.1})
    assert set(game.networks) - set(game.averaged) == {"identity", "hidden", "critic"}


# --- figure 11 -----------------------------------------------------------------------------------


def test_the_critic_and_what_plays_against_it(game_of, batch, step):
    game = warm(game_of(weights={"adversarial": 0.3}), batch, step)
    critic, main = game.phases()
    assert (critic.parameters, critic.optimiser.name) == (("critic",), "adam")
    assert "critic" not in main.parameters
    assert main.weights["adversarial"] == 0.3
    assert moved(game, game.critic_terms(batch, step())["game"].sum()) == {"critic"}
    terms = game.terms(batch, step())
    wanted = ROUTES["reconstruction"] | {"critic"}  # which the phase does not move
    assert moved(game, terms["adversarial"].sum()) == wanted


def test_the_game_is_the_closed_form(game_of, batch, step):
    game = game_of(augment=False, weights={"adversarial": 0.3})
    nets = game.networks
    with torch.no_grad():
        made = nets["decoder"](*encode(nets, batch.images))
        real, fake = (torch.sigmoid(nets["critic"](x).double()) for x in (batch.images, made))
    found = game.critic_terms(batch, step())["game"].double()
    torch.testing.assert_close(found, -real.log() - (1 - fake).log(), rtol=1e-5, atol=1e-5)
    against = game.terms(batch, step())["adversarial"].double()
    torch.testing.assert_close(against, -fake.log(), rtol=1e-5, atol=1e-5)


def test_an_adversarial_loss_in_place_of_the_reconstruction(game_of, batch, step):
    game = game_of(weights={"adversarial": 0.3, "reconstruction": 0.0})
    terms = game.terms(batch, step())
    assert terms.keys() == {"identity", "classification", "dispelling", "adversarial"}
    assert moved(game, terms["adversarial"].sum()) >= ROUTES["reconstruction"]


# --- data ----------------------------------------------------------------------------------------


def test_people_are_those_of_the_data(monkeypatch, Faces, tiny_config, game_of, seeded):
    monkeypatch.setattr(training, "PRESETS", {"tiny": tiny_config(people=99)})
    game = Disentangling.for_data("tiny", Faces())
    assert game.config == tiny_config(people=5)
    assert game.networks["identity"].out_features == game.networks["hidden"].out_features == 5
    found = methods.fitted(game_of(people=99), Faces(), seed=3)
    again = seeded(lambda: Disentangling(tiny_config(people=5)), 3)
    assert found.config.people == 5
    for key, value in parameters(again).items():
        assert torch.equal(parameters(found)[key], value), "the first weights follow from the seed"


def test_a_method_that_needs_no_data_is_left_as_it_is(Faces):
    method = methods.build("dcgan", "tiny")
    assert methods.fitted(method, Faces()) is method


@pytest.mark.parametrize(
    ("identity", "people", "message"),
    [
        ([0, 0, 1, 1, 2], 3, "1 of the 3 people of noise have fewer than two pictures; give data"),
        ([0, 0, 2, 2], 3, "1 of the 3 people of noise have fewer than two pictures"),
        ([0, 0, 1, 1], 9, "7 of the 9 people"),
        ([0, 0, 3, 3], 3, "person number 3, the classifiers have 3 people"),
        ([0, 0, -1, -1], 3, "person number -1"),
    ],
)
def test_people_who_cant_be_learnt(Faces, game_of, identity, people, message):
    with pytest.raises(DatasetError, match=message):
        game_of().fitted(Faces(torch.tensor(identity), people))


def test_faces_of_another_size(Faces, game_of, batch, step):
    with pytest.raises(DatasetError, match="noise has faces of 16 pixels, the networks take 32"):
        game_of(size=32, start=8).fitted(Faces())
    small = dataclasses.replace(batch, images=batch.images[:, :, ::2, ::2].contiguous())
    game = game_of(weights={"adversarial": 0.3})
    for loss in (game.terms, game.critic_terms):
        with pytest.raises(ParameterError, match="faces of 8 x 8 pixels can't be used"):
            loss(small, step())


@pytest.mark.parametrize("number", [5, -1])
def test_a_person_beyond_the_classifiers(game_of, batch, step, number):
    wrong = dataclasses.replace(batch, identity=torch.tensor([0, 1, 2, 3, 4, number]))
    game = game_of()
    with pytest.raises(DatasetError, match=f"number {number}, the classifiers have 5 people, cou"):
        game.terms(wrong, step())
    assert float(game.networks["spread"]["t"].deviation.sum()) == 0, "nothing was moved"


# --- runs ----------------------------------------------------------------------------------------


def test_a_run_resumes_to_the_same_weights(tmp_path, Faces, game_of):
    def trained(folder, *lengths):
        for length in lengths:
            game = game_of(weights={"adversarial": 0.1})
            settings = Settings(steps=length, batch=4, seed=0, workers=0)
            loop.train(game, Faces(), settings, folder, resume=True, progress=False)
        return game

    whole, parts = trained(tmp_path / "a", 4), trained(tmp_path / "b", 2, 4)
    for name, network in whole.networks.items():
        other = parts.networks[name].state_dict()
        for key, value in network.state_dict().items():
            assert torch.equal(value, other[key]), f"{name}.{key}"


def test_it_learns_the_people_and_the_pictures(tmp_path, Faces, game_of):
    """Fifteen pictures of noise by heart: every loss but the game's two falls."""
    game = game_of(features=16, learning_rate=0.05)
    settings = Settings(steps=60, batch=10, seed=0, workers=0, log_every=1)
    data = Repeated(Faces(), 2)
    history = loop.train(game, data, settings, tmp_path / "run", progress=False).history
    first, last = (dict(history[place].losses) for place in (0, -1))
    names = {name.rpartition("/")[2]: name for name in first}
    assert last[names["identity"]] < 0.5 * first[names["identity"]]
    assert last[names["reconstruction"]] < 0.95 * first[names["reconstruction"]]


def test_the_preview_shows_faces_rebuilt_and_exchanged(game_of, batch):
    game = game_of()
    for network in game.networks.values():
        network.eval()
    shown = game.preview(game.networks, batch)
    assert shown.shape == (18, 3, 16, 16)
    torch.testing.assert_close(shown[:6], batch.images)
    t, p = encode(game.networks, batch.images)
    rebuilt = game.networks["decoder"](t, p).clamp(-1, 1)
    torch.testing.assert_close(shown[6:12], rebuilt)
    exchanged = game.networks["decoder"](t[[5, 0, 1, 2, 3, 4]], p).clamp(-1, 1)
    torch.testing.assert_close(shown[12:], exchanged)
