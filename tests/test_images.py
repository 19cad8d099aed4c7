import numpy as np
import PIL.Image
import pytest
import torch

from facelab import images
from facelab.errors import ImageError
from facelab.geometry.render import to_srgb


@pytest.fixture
def picture(tmp_path):
    def write(levels, name="picture.png", **options):
        path = tmp_path / name
        PIL.Image.fromarray(levels).save(path, **options)
        return path

    return write


def test_levels_map_to_minus_one_and_one_and_back(picture):
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image = images.load_image(picture(levels))
    assert image.shape == (1, 3, 16, 16)
    assert image.dtype == torch.float32
    assert image.min() == -1
    assert image.max() == 1
    assert (images.to_uint8(image)[0].numpy() == levels).all()


def test_channels_and_axes_keep_their_order(picture):
    levels = np.zeros((4, 6, 3), np.uint8)
    levels[1, 2] = (255, 0, 0)
    image = images.load_image(picture(levels))
    assert image[0, :, 1, 2].tolist() == [1, -1, -1]
    assert (image == 1).sum() == 1


def test_grey_becomes_three_equal_channels(picture):
    image = images.load_image(picture(np.full((5, 7), 51, np.uint8)))
    assert image.shape == (1, 3, 5, 7)
    torch.testing.assert_close(image, torch.full((1, 3, 5, 7), -0.6))


def test_transparency_is_laid_on_white(picture):
    levels = np.zeros((2, 2, 4), np.uint8)
    levels[0, 0] = (255, 0, 0, 255)
    image = images.load_image(picture(levels))
    assert image[0, :, 0, 0].tolist() == [1, -1, -1]
    assert image[0, :, 1, 1].tolist() == [1, 1, 1]


def test_sixteen_bits_scale_to_eight(picture):
    levels = np.array([[0, 65535], [32896, 257]], np.uint16)
    levels_8 = images.to_uint8(images.load_image(picture(levels)))[0, :, :, 0]
    assert levels_8.tolist() == [[0, 255], [128, 1]]


def test_exif_rotation_is_applied(tmp_path):
    levels = np.zeros((8, 16, 3), np.uint8)
    levels[:, 8:] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    path = tmp_path / "turned.png"
    PIL.Image.fromarray(levels).save(path, exif=exif)
    image = images.load_image(path)
    assert image.shape == (1, 3, 16, 8)
    assert image[0, 0, 0].eq(-1).all()
    assert image[0, 0, -1].eq(1).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"these are notes, not a picture\n", "is not a picture"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, content, message):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        images.load_image(path)
    assert "photo.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_truncated_picture_is_named(tmp_path, picture, ending):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = picture(noise, f"whole.{ending}").read_bytes()
    path = tmp_path / f"cut.{ending}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="damaged or cut short"):
        images.load_image(path)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(ImageError, match="is not a file"):
        images.load_image(tmp_path)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(picture, monkeypatch):
    monkeypatch.setattr(images, "MAXIMUM_PIXELS", 99)
    with pytest.raises(ImageError, match="10 x 10 pixels, more than the 99"):
        images.load_image(picture(np.zeros((10, 10, 3), np.uint8)))


def test_save_and_load_agree_and_leave_no_other_file(tmp_path, random):
    levels = torch.randint(0, 256, (9, 5, 3), generator=random, dtype=torch.uint8)
    image = images.from_uint8(levels)
    path = images.save_image(image, tmp_path / "new" / "face.png")
    assert torch.equal(images.load_image(path), image)
    assert [file.name for file in path.parent.iterdir()] == ["face.png"]


def test_a_failed_save_keeps_what_was_there(tmp_path):
    path = tmp_path / "face.xyz"
    path.write_bytes(b"old")
    with pytest.raises(ImageError, match="could not be written"):
        images.save_image(torch.zeros(1, 3, 4, 4), path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["face.xyz"]


def test_values_outside_are_clipped_but_nan_is_never_hidden():
    image = torch.tensor([-5.0, 5.0]).view(1, 1, 1, 2).repeat(1, 3, 1, 1)
    assert images.to_uint8(image)[0, 0, :, 0].tolist() == [0, 255]
    image[0, 0, 0, 0] = torch.nan
    with pytest.raises(ImageError, match="not finite"):
        images.to_uint8(image)


def test_grid_places_each_image():
    batch = torch.linspace(-1, 0.5, 5).view(5, 1, 1, 1).expand(5, 3, 4, 6)
    sheet = images.grid(batch, columns=3, gap=2)
    assert sheet.shape == (1, 3, 10, 22)
    assert torch.equal(sheet[0, :, 6:10, 8:14], batch[4])
    assert (sheet[0, :, 4:6] == 1).all()


def test_linear_light_undoes_the_encoding_and_mid_grey_is_a_fifth():
    linear = torch.linspace(0, 1, 257)
    assert torch.allclose(images.linear_light(to_srgb(linear)), linear, atol=1e-6)
    levels = torch.tensor([0.0, 0.04, 0.5, 1.0])
    expected = torch.tensor([0.0, 0.04 / 12.92, 0.2140411, 1.0])
    assert torch.allclose(images.linear_light(levels), expected, atol=1e-6)
