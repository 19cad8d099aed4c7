"""DIAT's networks against the paper's tables: shapes, parameters, where they begin."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab.errors import ParameterError
from facelab.methods.diat.networks import (
    SLOPE,
    Denoiser,
    Discriminator,
    LocalEnhancer,
    Shape,
    TransformNetwork,
)

BLOCK = "Residual block"
# Layer, filters (kernel, kernel, channels out), padding, stride, activation size.
TABLE_1 = [
    ("conv", (9, 9, 32), 4, 1, (32, 128, 128)),
    ("conv", (3, 3, 64), 1, 2, (64, 64, 64)),
    ("conv", (3, 3, 128), 1, 2, (128, 32, 32)),
    *[(BLOCK, (3, 3, 128), 1, 1, (128, 32, 32))] * 5,
    ("deconv", (3, 3, 64), 1, 2, (64, 64, 64)),
    ("deconv", (3, 3, 32), 1, 2, (32, 127, 127)),
    ("deconv", (10, 10, 3), 4, 1, (3, 128, 128)),
]
TABLE_2 = [
    ("conv", (8, 8, 32), 3, 2, (32, 64, 64)),
    ("conv", (3, 3, 32), 1, 1, (32, 64, 64)),
    ("conv", (4, 4, 64), 1, 2, (64, 32, 32)),
    ("conv", (3, 3, 64), 1, 1, (64, 32, 32)),
    ("conv", (4, 4, 128), 1, 2, (128, 16, 16)),
    ("conv", (4, 4, 128), 1, 2, (128, 8, 8)),
]
KINDS = {nn.Conv2d: "conv", nn.ConvTranspose2d: "deconv"}


def row(layer, shape):
    """What the tables say of a convolution."""
    kernel, stride, padding = (set(v) for v in (layer.kernel_size, layer.stride, layer.padding))
    ((k,), (s,), (p,)) = kernel, stride, padding
    return KINDS[type(layer)], (k, k, layer.out_channels), p, s, shape


def shapes_of(network, layers, *images):
    """Return the shape of one sample that each layer gives, in the order in which they run."""
    found = []
    for layer in layers:
        layer.register_forward_hook(
            lambda module, inputs, output: found.append((module, tuple(output.shape[1:])))
        )
    network(*images)
    return found


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def faces(random, count=2, side=16):
    return torch.rand(count, 3, side, side, generator=random) * 2 - 1


# --- Table 1 -------------------------------------------------------------------------------------


def test_t_is_table_1_shape_by_shape():
    with torch.device("meta"):
        t, images = TransformNetwork(Shape()), torch.zeros(1, 3, 128, 128)
    found = shapes_of(t, [*t.down, *t.blocks, *t.up, t.last], images)
    rows = [
        (BLOCK, row(m.first, shape)[1], *row(m.first, shape)[2:])
        if type(m) not in KINDS
        else row(m, shape)
        for m, shape in found
    ]
    assert rows == TABLE_1


def test_t_has_sixteen_layers_of_which_two_in_a_block():
    with torch.device("meta"):
        t, images = TransformNetwork(Shape()), torch.zeros(1, 3, 128, 128)
    layers = [m for m in t.modules() if type(m) in KINDS]
    assert len(layers) == 16
    found = shapes_of(t, [m for block in t.blocks for m in (block.first, block.second)], images)
    assert [shape for _, shape in found] == [(128, 32, 32)] * 10


def test_without_output_padding_the_table_would_print_63():
    """The erratum: a 3 x 3 deconvolution, pad 1, stride 2, takes n to 2n - 1."""
    with torch.device("meta"):
        printed = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
        assert printed(torch.zeros(1, 1, 32, 32)).shape[2:] == (63, 63)
        assert printed(torch.zeros(1, 1, 64, 64)).shape[2:] == (127, 127)
        t = TransformNetwork(Shape())
    assert [layer.output_padding for layer in (*t.up, t.last)] == [(1, 1), (0, 0), (0, 0)]


@pytest.mark.parametrize(("width", "blocks"), [(32, 5), (4, 1), (7, 2)])
def test_the_parameters_of_t_by_hand(width, blocks):
    n = width
    down = (9 * 9 * 3 * n + n) + (9 * n * 2 * n + 2 * n) + (9 * 2 * n * 4 * n + 4 * n)
    residual = blocks * 2 * (9 * 4 * n * 4 * n + 4 * n)
    up = (9 * 4 * n * 2 * n + 2 * n) + (9 * 2 * n * n + n) + (10 * 10 * n * 3 + 3)
    # A factor and a summand for each channel that is normalised: all but the last three.
    norms = 2 * ((n + 2 * n + 4 * n) + blocks * 2 * 4 * n + (2 * n + n))
    with torch.device("meta"):
        assert parameters(TransformNetwork(Shape(n, blocks))) == down + residual + up + norms
    if (width, blocks) == (32, 5):
        assert down + residual + up == 1_677_859, "what Table 1 has"
        assert norms == 3_200


@pytest.mark.parametrize("side", [8, 16, 20, 64])
@pytest.mark.parametrize("skip", [True, False])
def test_t_keeps_the_size_of_faces(random, side, skip):
    images = faces(random, side=side)
    assert TransformNetwork(Shape(4, 1, skip))(images).shape == images.shape


def test_t_without_skip_stays_in_range(random):
    t = TransformNetwork(Shape(4, 1))
    with torch.no_grad():
        t.last.weight.mul_(100)
    made = t(faces(random))
    assert 0.99 < made.abs().max() <= 1


def test_t_with_skip_begins_at_the_identity_and_leaves_it(random):
    t, images = TransformNetwork(Shape(4, 1, skip=True)), faces(random)
    assert torch.equal(t(images), images)
    target = torch.zeros_like(images)
    loss = (t(images) - target).square().mean()
    loss.backward()
    assert t.last.weight.grad.abs().max() > 0
    with torch.no_grad():
        t.last.weight -= 1e-3 * t.last.weight.grad
    assert (t(images) - target).square().mean() < loss
    assert not torch.equal(TransformNetwork(Shape(4, 1))(images), images)


def test_t_with_skip_is_the_input_and_what_the_layers_add(random):
    t, images = TransformNetwork(Shape(4, 2, skip=True)), faces(random)
    nn.init.normal_(t.last.weight, generator=random)
    plain = TransformNetwork(Shape(4, 2))
    plain.load_state_dict(t.state_dict())
    added = t(images) - images
    assert added.abs().max() > 0.1
    torch.testing.assert_close(plain(images), added.tanh())


def test_t_is_its_layers_one_after_the_other(random, tolerance):
    """A slow twin with the functions of torch, from the same weights."""
    t, images = TransformNetwork(Shape(3, 2)).double(), faces(random).double()
    for name, parameter in t.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, 0.5, 0.5, generator=random)
    w = t.state_dict()

    def layer(name, x, function=F.conv2d, **how):
        return function(x, w[f"{name}.weight"], w[f"{name}.bias"], **how)

    def norm(name, x):
        """Each channel of each picture at mean 0 and variance 1, then a factor and a summand."""
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        factor, summand = (w[f"{name}.{kind}"][:, None, None] for kind in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * factor + summand

    x = F.relu(norm("down_norms.0", layer("down.0", images, padding=4)))
    x = F.relu(norm("down_norms.1", layer("down.1", x, padding=1, stride=2)))
    x = F.relu(norm("down_norms.2", layer("down.2", x, padding=1, stride=2)))
    for block in ("blocks.0", "blocks.1"):
        inner = F.relu(norm(f"{block}.first_norm", layer(f"{block}.first", x, padding=1)))
        x = x + norm(f"{block}.second_norm", layer(f"{block}.second", inner, padding=1))
    up = F.conv_transpose2d
    x = layer("up.0", x, up, padding=1, stride=2, output_padding=1)
    x = F.relu(norm("up_norms.0", x))
    x = F.relu(norm("up_norms.1", layer("up.1", x, up, padding=1, stride=2)))
    expected = torch.tanh(layer("last", x, up, padding=4)).float()
    torch.testing.assert_close(t(images), expected, **tolerance[torch.float32])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width = 0 can't be used; give a whole number from 1 to 512"),
        ({"width": 513}, "width = 513 can't be used"),
        ({"blocks": 0}, "blocks = 0 can't be used; give a whole number from 1 to 512"),
    ],
)
def test_sizes_of_t_that_can_not_be(settings, message):
    with pytest.raises(ParameterError, match=message):
        Shape(**settings)


# --- Table 2 -------------------------------------------------------------------------------------


def test_d_is_table_2_shape_by_shape():
    with torch.device("meta"):
        d, images = Discriminator(128), torch.zeros(1, 3, 128, 128)
    found = shapes_of(d, [*d.convolutions, d.hidden, d.head], images)
    assert [row(m, shape) for m, shape in found[:6]] == TABLE_2
    assert [shape for _, shape in found[6:]] == [(1000,), (1,)]
    assert d.hidden.in_features == 128 * 8 * 8
    with torch.device("meta"):
        assert d(torch.zeros(5, 3, 128, 128)).shape == (5,)


@pytest.mark.parametrize(("size", "width", "hidden"), [(128, 32, 1000), (64, 32, 1000), (16, 4, 9)])
def test_the_parameters_of_d_by_hand(size, width, hidden):
    n, side = width, size // 16
    convolutions = (
        (8 * 8 * 3 * n + n)
        + (9 * n * n + n)
        + (16 * n * 2 * n + 2 * n)
        + (9 * 2 * n * 2 * n + 2 * n)
        + (16 * 2 * n * 4 * n + 4 * n)
        + (16 * 4 * n * 4 * n + 4 * n)
    )
    full = (4 * n * side * side * hidden + hidden) + (hidden + 1)
    with torch.device("meta"):
        assert parameters(Discriminator(size, width, hidden)) == convolutions + full
    if size == 128:
        assert convolutions + full == 8_672_657


def test_ds_features_are_what_its_convolutions_give_after_activation(random):
    d, images = Discriminator(16, 4, 9), faces(random)
    x, expected = images, {}
    for number, layer in enumerate(d.convolutions, start=1):
        x = F.leaky_relu(layer(x), SLOPE)
        expected[number] = x
    for layers in ([4, 5], (1, 6), [3], range(1, 7)):
        found = d.features(images, layers)
        assert len(found) == len(layers)
        for number, maps in zip(layers, found, strict=True):
            assert torch.equal(maps, expected[number]), number
    hidden = F.leaky_relu(d.hidden(expected[6].flatten(1)), SLOPE)
    assert torch.equal(d(images), d.head(hidden)[:, 0])
    assert torch.equal(d.decide(d.features(images, (6,))[0]), d(images))


# --- the others ----------------------------------------------------------------------------------


def test_the_denoiser_is_two_convolutions_and_begins_as_the_identity(random):
    f, images = Denoiser(8), faces(random)
    assert torch.equal(f(images), images)
    assert [m.kernel_size for m in f.modules() if type(m) in KINDS] == [(3, 3)] * 2
    assert parameters(f) == (27 * 8 + 8) + (72 * 3 + 3)
    nn.init.normal_(f.second.weight, generator=random)
    expected = images + f.second(F.relu(f.first(images)))
    torch.testing.assert_close(f(images), expected)
    assert not torch.equal(f(images), images)


def test_the_local_enhancer_is_four_convolutions_and_begins_with_what_t_made(random):
    e, images, made = LocalEnhancer(8), faces(random), faces(random)
    assert torch.equal(e(images, made), made)
    assert len([m for m in e.modules() if type(m) in KINDS]) == 4
    assert parameters(e) == (25 * 6 * 8 + 8) + 2 * (72 * 8 + 8) + (72 * 3 + 3)


def test_the_local_enhancer_sees_both_faces_and_no_farther_than_its_kernels(random):
    e, images, made = LocalEnhancer(8), faces(random, 1, 32), faces(random, 1, 32)
    nn.init.normal_(e.last.weight, generator=random)
    before = e(images, made)
    reach = 2 + 1 + 1 + 1
    for changed in ((images, 0), (made, 1)):
        other = changed[0].clone()
        other[0, :, 16, 16] += 1
        after = e(other, made) if changed[1] == 0 else e(images, other)
        rows = (after - before).abs().amax((0, 1, 3)).nonzero()[:, 0]
        assert (rows.min(), rows.max()) == (16 - reach, 16 + reach)
    swapped = e(made, images)
    assert not torch.allclose(swapped, before)


def test_weights_begin_as_he_et_al_do_and_norms_as_none():
    torch.manual_seed(0)
    t, d = TransformNetwork(Shape(16, 2)), Discriminator(16, 16, 200)
    blocks = [layer for block in t.blocks for layer in (block.first, block.second)]
    for layer in (*t.down, *blocks, *d.convolutions, d.hidden):
        fan_in = layer.weight[0].numel()
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.1)
    norms = [m for m in t.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert len(norms) == 3 + 2 * 2 + 2
    assert all((norm.weight == 1).all() for norm in norms)
    biases = [m.bias for m in (*t.modules(), *d.modules()) if getattr(m, "bias", None) is not None]
    assert len(biases) == 10 + 8 + len(norms)
    assert not any(bias.any() for bias in biases)


def test_d_is_not_normalised_and_t_is_within_a_face(random):
    """What T makes of a face doesn't depend on the batch, and D has no norms."""
    t, images = TransformNetwork(Shape(4, 1)), faces(random, 3)
    with torch.no_grad():
        torch.testing.assert_close(t(images)[:1], t(images[:1]))
        t.eval()
        torch.testing.assert_close(t(images)[:1], t(images[:1]))
    assert not [m for m in Discriminator(16, 4, 9).modules() if "Norm" in type(m).__name__]


def test_all_give_float32_where_they_compute_in_less(random):
    images = faces(random)
    with torch.autocast("cpu", torch.bfloat16):
        made = [
            TransformNetwork(Shape(4, 1))(images),
            TransformNetwork(Shape(4, 1, skip=True))(images),
            Discriminator(16, 4, 8)(images),
            Denoiser(4)(images),
            LocalEnhancer(4)(images, images),
        ]
    assert {tensor.dtype for tensor in made} == {torch.float32}
