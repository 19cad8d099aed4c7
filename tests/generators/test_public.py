"""Checkpoints in the two public layouts, made here by name: the names are typed, not computed."""

import dataclasses

import pytest
import safetensors.torch
import torch

from facelab.errors import CheckpointError
from facelab.generators.stylegan2 import config as sizes
from facelab.generators.stylegan2 import public
from facelab.generators.stylegan2.layers import make_filter
from facelab.generators.stylegan2.networks import StyleGAN2

# A generator for 16 x 16 images, as both authors' code lists it: facelab's name, then theirs, then
# theirs again. Shapes in which a layout differs from facelab's come behind the name.
MAPPING = [
    (f"mapping_network.layers.{i}.{t}", f"style.{i + 1}.{t}", f"mapping.fc{i}.{t}")
    for i in range(2)
    for t in ("weight", "bias")
]
CONVOLUTIONS = [(0, "conv1", "b4.conv1"), (1, "convs.0", "b8.conv0"), (2, "convs.1", "b8.conv1")]
CONVOLUTIONS += [(3, "convs.2", "b16.conv0"), (4, "convs.3", "b16.conv1")]
COLOURS = [(0, "to_rgb1", "b4.torgb"), (1, "to_rgbs.0", "b8.torgb"), (2, "to_rgbs.1", "b16.torgb")]
LAYERS = [
    ("weight", "conv.weight", "weight"),
    ("affine.weight", "conv.modulation.weight", "affine.weight"),
    ("affine.bias", "conv.modulation.bias", "affine.bias"),
    ("bias", "activate.bias", "bias"),
    ("strength", "noise.weight", "noise_strength"),
]


@pytest.fixture
def generator():
    config = dataclasses.replace(sizes.TINY, channels=(6, 5, 4), latents=7, styles=3)
    network = StyleGAN2(config).eval().requires_grad_(False)
    for layer in network.synthesis_network.convolutions:
        torch.nn.init.normal_(layer.strength)
        torch.nn.init.normal_(layer.bias)
    for layer in network.synthesis_network.colours:
        torch.nn.init.normal_(layer.bias)
    return network.measure_mean_w(16)


def rosinality(generator) -> dict:
    ours, state = generator.state_dict(), {}
    for name, theirs, _ in MAPPING:
        state[theirs] = ours[name]
    state["input.input"] = ours["synthesis_network.constant"]
    for index, theirs, _ in CONVOLUTIONS:
        for tensor, name, _ in LAYERS:
            value = ours[f"synthesis_network.convolutions.{index}.{tensor}"]
            if tensor in ("weight", "strength"):
                value = value[None]
            state[f"{theirs}.{name}"] = value
        noise = ours[f"synthesis_network.convolutions.{index}.noise"]
        state[f"noises.noise_{index}"] = noise
        if index % 2:
            state[f"{theirs}.conv.blur.kernel"] = 4 * make_filter()
    for index, theirs, _ in COLOURS:
        place = f"synthesis_network.colours.{index}"
        state[f"{theirs}.conv.weight"] = ours[f"{place}.weight"][None]
        state[f"{theirs}.conv.modulation.weight"] = ours[f"{place}.affine.weight"]
        state[f"{theirs}.conv.modulation.bias"] = ours[f"{place}.affine.bias"]
        state[f"{theirs}.bias"] = ours[f"{place}.bias"].view(1, 3, 1, 1)
        if index:
            state[f"{theirs}.upsample.kernel"] = 4 * make_filter()
    return {"g_ema": state, "latent_avg": ours["mean_w"]}


def nvidia(generator) -> dict:
    ours, state = generator.state_dict(), {}
    for name, _, theirs in MAPPING:
        state[theirs] = ours[name]
    state["mapping.w_avg"] = ours["mean_w"]
    state["synthesis.b4.const"] = ours["synthesis_network.constant"][0]
    for index, _, theirs in CONVOLUTIONS:
        for tensor, _, name in LAYERS:
            value = ours[f"synthesis_network.convolutions.{index}.{tensor}"]
            state[f"synthesis.{theirs}.{name}"] = value
        noise = ours[f"synthesis_network.convolutions.{index}.noise"]
        state[f"synthesis.{theirs}.noise_const"] = noise[0, 0]
        state[f"synthesis.{theirs}.resample_filter"] = make_filter()
    for index, _, theirs in COLOURS:
        for tensor in ("weight", "bias", "affine.weight", "affine.bias"):
            value = ours[f"synthesis_network.colours.{index}.{tensor}"]
            state[f"synthesis.{theirs}.{tensor}"] = value
    for side in (4, 8, 16):
        state[f"synthesis.b{side}.resample_filter"] = make_filter()
    return state


WRITERS = {"rosinality": rosinality, "nvidia": nvidia}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_public_file_draws_the_same_faces(layout, generator, tmp_path, random):
    path = tmp_path / f"{layout}.pt"
    torch.save(WRITERS[layout](generator), path)
    loaded = public.load_public(path)
    assert (loaded.size, loaded.latents, loaded.id) == (16, 7, f"{layout}.pt")
    assert loaded.config.channels == (6, 5, 4)
    z = generator.sample_latent(3, random)
    w = generator.mapping(z)
    torch.testing.assert_close(loaded.mapping(z), w)
    torch.testing.assert_close(loaded.synthesis(w), generator.synthesis(w))
    torch.testing.assert_close(loaded.mean_w, generator.mean_w)
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize("key", ["", "G_ema.", "g_ema."])
@pytest.mark.parametrize("layout", WRITERS)
def test_safetensors_and_other_keys_are_read(layout, key, generator, tmp_path, random):
    """safetensors can't nest: names then begin with the key, or have none."""
    written = WRITERS[layout](generator)
    state = written.get("g_ema", written)
    path = tmp_path / "g.safetensors"
    tensors = {f"{key}{name}": t.contiguous().clone() for name, t in state.items()}
    other = {"d.final_linear.1.bias": torch.zeros(1)} if key else {}
    safetensors.torch.save_file(tensors | other, path)
    loaded = public.load_public(path, id="mine")
    z = generator.sample_latent(2, random)
    torch.testing.assert_close(loaded(z), generator(z))
    assert loaded.id == "mine"


def test_a_mean_that_the_file_lacks_is_measured(generator):
    written = rosinality(generator)
    del written["latent_avg"]
    loaded = public.from_public(written, "mine")
    torch.testing.assert_close(loaded.mean_w, generator.measure_mean_w().mean_w)


def test_half_precision_is_widened(generator, random):
    halved = {name: t.half() for name, t in nvidia(generator).items()}
    loaded = public.from_public(halved, "mine")
    z = generator.sample_latent(2, random)
    torch.testing.assert_close(loaded(z), generator(z), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("side", [256, 1024])
def test_the_public_networks_have_the_names_that_are_looked_for(layout, side):
    """The numbers of tensors of configuration F, counted off the authors' code.

    Mapping 16; 4 x 4: constant 1, convolution 6, colours 4; each scale two convolutions, colours.
    """
    with torch.device("meta"):
        network = StyleGAN2(sizes.paper(side))
    names = {public._public_name(layout, ours) for ours in network.state_dict()} - {""}
    scales = side.bit_length() - 3
    assert len(names) == 16 + 1 + 6 + 4 + scales * (2 * 6 + 4) + 1
    last = {256: ("convs.11", "b256"), 1024: ("convs.15", "b1024")}[side]
    if layout == "rosinality":
        assert f"{last[0]}.conv.modulation.weight" in names
        assert {"style.8.bias", "to_rgb1.bias", f"noises.noise_{2 * scales}"} <= names
    else:
        assert f"synthesis.{last[1]}.conv1.noise_strength" in names
        assert {"mapping.fc7.bias", "synthesis.b4.torgb.affine.bias"} <= names


# --- refusals ------------------------------------------------------------------------------------


def test_something_else_is_refused():
    with pytest.raises(CheckpointError, match="not a StyleGAN2 generator in a public layout"):
        public.from_public({"main.0.weight": torch.zeros(1)}, "other")


def test_a_conditional_generator_is_refused(generator):
    state = nvidia(generator) | {"mapping.embed.weight": torch.zeros(3, 2)}
    with pytest.raises(CheckpointError, match="conditional"):
        public.from_public(state, "cifar")


def test_a_generator_without_skips_is_refused(generator):
    state = {k: t for k, t in nvidia(generator).items() if not k.startswith("synthesis.b8.torgb")}
    with pytest.raises(CheckpointError, match=r"lacks synthesis\.b8\.torgb\.weight; .* with skips"):
        public.from_public(state, "residual")


def test_a_missing_tensor_is_named(generator):
    written = rosinality(generator)
    del written["g_ema"]["convs.1.conv.modulation.bias"]
    with pytest.raises(CheckpointError, match=r"lacks convs\.1\.conv\.modulation\.bias"):
        public.from_public(written, "cut")


def test_an_unknown_tensor_is_named(generator):
    state = nvidia(generator) | {"synthesis.b16.skip.weight": torch.zeros(4, 5, 1, 1)}
    with pytest.raises(CheckpointError, match=r"has a tensor synthesis\.b16\.skip\.weight"):
        public.from_public(state, "other")


def test_another_filter_is_refused(generator):
    state = nvidia(generator) | {"synthesis.b8.resample_filter": torch.ones(2, 2)}
    with pytest.raises(CheckpointError, match=r"another filter than \[1, 3, 3, 1\]"):
        public.from_public(state, "box")


def test_a_tensor_of_another_shape_is_refused(generator):
    state = nvidia(generator) | {"synthesis.b8.conv1.weight": torch.zeros(5, 9, 3, 3)}
    with pytest.raises(CheckpointError, match="does not fit"):
        public.from_public(state, "other")


def test_code_is_never_run(tmp_path, generator):
    path = tmp_path / "network.pkl"
    torch.save({"G_ema": torch.nn.Linear(1, 1)}, path)
    with pytest.raises(CheckpointError, match="holds code"):
        public.load_public(path)
