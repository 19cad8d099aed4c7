import torch

from facelab.methods.ganfaces.networks import Shape, Translator, initialise


def made_of(images, *, skips):
    network = Translator(Shape(width=8, skips=skips)).eval()
    initialise(network)
    with torch.no_grad():
        return network(images)


def test_with_skips_a_translator_begins_at_its_input(random):
    images = 2 * torch.rand(4, 3, 32, 32, generator=random) - 1
    torch.manual_seed(0)
    off = (made_of(images, skips=True) - images.tanh()).abs().mean()
    assert 0 < off < 0.1
    torch.manual_seed(0)
    assert (made_of(images, skips=False) - images.tanh()).abs().mean() > 0.3


def test_with_skips_the_light_of_a_picture_is_kept(random):
    """Normalisation within a picture would take it away."""
    images = 0.2 * torch.randn(1, 3, 32, 32, generator=random)
    pair = torch.cat([images - 0.5, images + 0.5])
    torch.manual_seed(0)
    dark, bright = made_of(pair, skips=True).mean((1, 2, 3))
    assert bright - dark > 0.8
    torch.manual_seed(0)
    dark, bright = made_of(pair, skips=False).mean((1, 2, 3))
    assert abs(bright - dark) < 0.2
