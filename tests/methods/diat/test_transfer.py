"""Both stages at work: what each sees, the blur between them, and what is refused."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from facelab.errors import ImageError, ParameterError
from facelab.methods.diat.networks import LocalEnhancer, Shape, TransformNetwork
from facelab.methods.diat.tasks import find_task
from facelab.methods.diat.transfer import Transfer, blur, enhanced, relative_sigma

LOCAL, GLOBAL = find_task("mouth_open"), find_task("male_to_female")


def scattered(network):
    """Let layers that begin at zero do something."""
    torch.manual_seed(0)
    for parameter in network.last.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def transform(skip=True):
    torch.manual_seed(1)
    return scattered(TransformNetwork(Shape(4, 1, skip)))


def local_enhancer():
    torch.manual_seed(2)
    return scattered(LocalEnhancer(4))


@pytest.fixture
def images(random):
    return torch.rand(2, 3, 16, 16, generator=random) * 2 - 1


# --- the blur ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.225, 0.9, 1.8, 3.1])
def test_the_blur_is_scipys(images, sigma, tolerance):
    slow = gaussian_filter(images.double().numpy(), sigma, mode="mirror", axes=(2, 3), truncate=4.0)
    wanted = torch.from_numpy(slow).float()
    torch.testing.assert_close(blur(images, sigma), wanted, **tolerance[torch.float32])


def test_the_blur_keeps_one_colour_and_nothing_else(images, tolerance):
    plain = images[:, :, :1, :1].expand_as(images)
    torch.testing.assert_close(blur(plain, 0.9), plain, **tolerance[torch.float32])
    assert blur(images, 0.9).var() < 0.2 * images.var()
    assert torch.equal(blur(images, 0.0), images)


def test_the_blur_is_differentiable(images):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(blur(x, 0.9)[0, 1, 8, 8], x)
    assert gradient[0, 1, 8, 8] > gradient[0, 1, 8, 9] > 0
    assert not gradient[1].any()
    assert not gradient[0, [0, 2]].any(), "channels don't mix"


@pytest.mark.parametrize("sigma", [-0.1, 4.0, float("nan")])
def test_a_blur_that_can_not_be(images, sigma):
    with pytest.raises(ParameterError, match=r"can't blur pictures of 16 x 16 pixels; give a numb"):
        blur(images, sigma)


def test_the_blur_grows_with_the_face():
    assert relative_sigma(1.8, 128) == 1.8
    assert relative_sigma(1.8, 64) == 0.9


# --- the stages ----------------------------------------------------------------------------------


def test_the_first_stage_is_t_within_range(images):
    t = transform()
    found = Transfer(LOCAL, 16, t).transformed(images)
    assert torch.equal(found, t(images).clamp(-1, 1))
    assert t(images).abs().max() > 1, "or nothing would be clamped"


def test_without_an_enhancer_it_is_the_first_stage(images):
    transfer = Transfer(GLOBAL, 16, transform())
    assert torch.equal(transfer(images), transfer.transformed(images))
    with pytest.raises(ParameterError, match="male_to_female has no enhancement network; give the"):
        transfer.enhance(images, images)


def test_a_local_enhancer_sees_the_face_and_what_t_made(images):
    e = local_enhancer()
    transfer = Transfer(LOCAL, 16, transform(), e)
    made = transfer.transformed(images)
    wanted = e(images, made)
    assert torch.equal(transfer(images), wanted.clamp(-1, 1))
    assert wanted.abs().max() > 1
    assert torch.equal(enhanced(e, images, made, 1.8), wanted)
    assert not torch.equal(transfer.enhance(images.flip(0), made), transfer.enhance(images, made))


def test_a_global_enhancer_sees_what_t_made_blurred(images):
    e = transform(skip=False)
    transfer = Transfer(GLOBAL, 16, transform(), e, sigma_px=8.0)
    made = transfer.transformed(images)
    assert torch.equal(transfer(images), e(blur(made, 1.0)))
    assert not torch.equal(transfer(images), e(made))
    assert torch.equal(transfer.enhance(images.flip(0), made), transfer.enhance(images, made))


@pytest.mark.parametrize(
    ("task", "enhancer"), [(LOCAL, local_enhancer), (GLOBAL, lambda: transform(skip=False))]
)
def test_it_is_differentiable(images, task, enhancer):
    x = images.clone().requires_grad_()
    Transfer(task, 16, transform(), enhancer())(x)[0].sum().backward()
    assert x.grad[0].any()
    assert not x.grad[1].any()


def test_what_does_not_fit_is_refused(images):
    with pytest.raises(ParameterError, match=r"by a TransformNetwork; give a LocalEnhancer"):
        Transfer(LOCAL, 16, transform(), transform())
    with pytest.raises(ParameterError, match=r"by a LocalEnhancer; give a TransformNetwork"):
        Transfer(GLOBAL, 16, transform(), local_enhancer())
    transfer = Transfer(LOCAL, 32, transform(), local_enhancer())
    wanted = r"faces of 32 x 32 pixels are needed for mouth_open, got 16 x 16; align them"
    for call in (transfer, transfer.transformed, lambda x: transfer.enhance(x, x)):
        with pytest.raises(ImageError, match=wanted):
            call(images)
