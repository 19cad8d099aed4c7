"""Files to embeddings: each once, in order, none lost, few in memory."""

import inspect
import threading

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from facelab import assets
from facelab.errors import FaceCountError, ImageError, ParameterError, UserError
from facelab.images import load_image, save_image
from facelab.recognition import align, gallery
from facelab.recognition.embedder import Embedder
from facelab.recognition.gallery import embed_files, faces_of, pictures_in
from facelab.recognition.mtcnn import Faces, detect


class Means(Embedder):
    """A recogniser of two numbers: the mean red and the mean green, plus one each."""

    id, size, template, threshold, threshold_squared = "means", 150, "dlib150", 0.1, 0.1

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.ones(1))
        self.batches: list[int] = []

    def forward(self, images):
        self.batches.append(len(images))
        return images[:, :2].mean(dim=(2, 3)) + self.shift


@pytest.fixture
def one_thread():
    """For searches in the test's own thread: MTCNN's networks are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def plain(tmp_path):
    """Write a picture of one colour; returns its path."""

    def write(name: str, red: int, green: int = 0, size: tuple[int, int] = (150, 150)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", size, (red, green, 0)).save(path)
        return path

    return write


@pytest.fixture
def two_photographs(tmp_path):
    """Two astronauts side by side, the right one smaller."""
    astronaut = PIL.Image.open(assets.path("astronaut")).convert("RGB")
    sheet = PIL.Image.new("RGB", (900, 512))
    sheet.paste(astronaut, (0, 0))
    sheet.paste(astronaut.resize((360, 360)), (530, 100))
    path = tmp_path / "two.png"
    sheet.save(path)
    return path


def test_rows_are_in_the_order_of_the_pictures(plain):
    levels = list(range(0, 255, 5))
    paths = [plain(f"{level}.png", level, 255 - level) for level in levels]
    recogniser = Means()
    found = embed_files(paths, recogniser, aligned=True, batch=8)
    assert found.paths == tuple(map(str, paths))
    expected = torch.tensor(levels).float() * 2 / 255
    torch.testing.assert_close(found.raw[:, 0], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(len(paths)))
    direct = nn.functional.normalize(found.raw, dim=1)
    torch.testing.assert_close(found.embeddings, direct)
    assert recogniser.batches == [8] * 6 + [3]
    assert found.pictures == len(paths)
    assert found.failures == ()
    assert found.embedder == "means"
    assert found.probabilities.isnan().all()


def test_the_batch_size_changes_nothing(plain):
    paths = [plain(f"{level}.png", level, 100) for level in range(0, 250, 25)]
    found = [embed_files(paths, Means(), aligned=True, batch=size) for size in (1, 3, 64)]
    for other in found[1:]:
        torch.testing.assert_close(other.raw, found[0].raw)
        assert other.paths == found[0].paths


def test_what_fails_is_listed_and_the_rest_goes_on(plain, tmp_path):
    good = [plain("a.png", 10), plain("b.png", 20)]
    cut = plain("cut.png", 30)
    cut.write_bytes(cut.read_bytes()[:60])
    wide = plain("wide.png", 40, size=(150, 100))
    missing = tmp_path / "missing.png"
    seen = []
    found = embed_files(
        [good[0], cut, missing, good[1], wide],
        Means(),
        aligned=True,
        progress=lambda done, failed: seen.append((done, failed)),
    )
    assert found.paths == tuple(map(str, good))
    assert [failure.path for failure in found.failures] == [str(cut), str(missing), str(wide)]
    assert {failure.error for failure in found.failures} == {"ImageError"}
    assert "does not exist" in found.failures[1].reason
    assert seen == [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3)]
    assert found.pictures == 5
    assert found.images_per_second > 0


def test_when_all_fail_the_arrays_are_empty(tmp_path):
    found = embed_files([tmp_path / "a.png"], Means(), aligned=True)
    arrays = found.arrays()
    assert arrays["embeddings"].shape[0] == 0
    assert arrays["boxes"].shape == (0, 4)
    assert arrays["landmarks"].shape == (0, 5, 2)
    assert arrays["failed_paths"].tolist() == [str(tmp_path / "a.png")]
    assert embed_files([], Means()).pictures == 0


def test_arrays_need_no_unpickling(plain, tmp_path):
    paths = [plain("grün/é.png", 10), plain("b.png", 20)]
    found = embed_files(paths, Means(), aligned=True)
    np.savez(tmp_path / "x.npz", **found.arrays())
    with np.load(tmp_path / "x.npz", allow_pickle=False) as stored:
        loaded = {name: stored[name] for name in stored.files}
    assert loaded["paths"].tolist() == [str(path) for path in paths]
    assert loaded["embedder"].item() == "means"
    assert loaded["policy"].item() == "aligned"
    assert all(values.dtype != object for values in loaded.values())


def test_few_pictures_are_under_way_at_a_time():
    """A reader that is far ahead of the rest would fill the memory with a folder's pictures."""
    under_way, most, lock = [0], [0], threading.Lock()

    def read(item):
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        return item * 2

    results = []
    with gallery._workers() as pool:
        for item, result in gallery._in_order(pool, read, range(50), 3):
            results.append((item, result))
            with lock:
                under_way[0] -= 1
    assert results == [(i, 2 * i) for i in range(50)]
    assert most[0] <= 3


def test_our_own_mistakes_are_not_taken_for_failures(plain):
    class Broken(Means):
        def forward(self, images):
            raise RuntimeError("a bug")

    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="a bug"):
        embed_files([plain("a.png", 1)], Broken(), aligned=True)
    assert torch.get_num_threads() == before


def test_the_number_of_threads_is_as_before(plain):
    """Also that of threads which start later."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        embed_files([plain("a.png", 1)], Means(), aligned=True)
        seen = [torch.get_num_threads()]
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert seen == [3, 3]
    finally:
        torch.set_num_threads(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_gpu_gives_the_same(two_photographs, plain):
    paths = [two_photographs, assets.path("astronaut"), plain("grey.png", 120, 120)]
    expected = embed_files(paths, Means(), policy="all")
    found = embed_files(paths, Means().to("cuda"), policy="all")
    assert found.paths == expected.paths
    assert len(found.failures) == 1
    torch.testing.assert_close(found.landmarks, expected.landmarks, rtol=0, atol=1.0)
    torch.testing.assert_close(found.embeddings, expected.embeddings, rtol=0, atol=0.01)


# --- faces ---------------------------------------------------------------------------------------


def test_faces_are_found_aligned_and_counted(two_photographs):
    found = embed_files([two_photographs, assets.path("astronaut")], Means())
    assert found.seen[1] == 1
    assert len(found.paths) == 2
    image = load_image(assets.path("astronaut"))
    crop = align.align(image, found.landmarks[1:])
    torch.testing.assert_close(Means().embed(crop).detach(), found.embeddings[1:])
    assert (found.probabilities > 0.99).all()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("policy", "faces"), [("all", 2), ("largest", 1), ("central", 1)])
def test_the_policy_chooses(two_photographs, policy, faces):
    found, seen = faces_of(two_photographs, "dlib150", policy)
    assert seen == 2
    assert len(found) == faces
    widths = found.boxes[:, 2] - found.boxes[:, 0]
    if policy == "all":
        assert widths[0] > widths[1]
    left = bool(found.boxes[0, 0] < 512)
    assert left == (policy != "central")


def test_central_is_closest_to_the_middle():
    boxes = torch.tensor([[0.0, 0, 50, 50], [60, 40, 80, 60], [90, 90, 99, 99]])
    faces = Faces(boxes, torch.rand(3, 5, 2), torch.ones(3))
    assert align.choose(faces, (100, 100), "central", "x").boxes[0].tolist() == [60, 40, 80, 60]
    assert align.choose(faces, (100, 100), "largest", "x").boxes[0].tolist() == [0, 0, 50, 50]


@pytest.mark.usefixtures("one_thread")
def test_several_faces_under_the_policy_error_and_none_under_any(two_photographs, plain):
    with pytest.raises(FaceCountError, match=r"two\.png: 2 faces were found where one is"):
        faces_of(two_photographs, "dlib150", "error")
    with pytest.raises(FaceCountError, match=r"grey\.png: no face was found; give"):
        faces_of(plain("grey.png", 120, 120), "dlib150", "largest")
    unchecked = inspect.unwrap(gallery._searched)  # as readers have it, whom no checker guards
    with pytest.raises(ParameterError, match="no policy 'first'"):
        list(unchecked(None, [two_photographs], "dlib150", "first", False, "cpu"))
    with pytest.raises(ImageError, match="square"):
        faces_of(two_photographs, "dlib150", aligned=True)


@pytest.mark.usefixtures("one_thread")
def test_an_aligned_face_of_another_size_is_framed_like_the_book_s(generated, recogniser, tmp_path):
    """Its embedding is that of the face that is found on it; a stretched one's is far off."""
    face = generated[:1]
    path = save_image(face, tmp_path / "face.png")
    found, seen = faces_of(path, "dlib150", aligned=True)
    assert torch.equal(found.images, align.reframe(load_image(path), "book64", "dlib150"))
    assert seen == 1
    expected = recogniser.embed(align.align(face, detect(face).landmarks[:1]))
    stretched = nn.functional.interpolate(face, (150, 150), mode="bilinear")
    assert recogniser.distance(recogniser.embed(found.images), expected) < 0.03
    assert recogniser.distance(recogniser.embed(stretched), expected) > 0.09


# --- folders -------------------------------------------------------------------------------------


def test_a_folders_pictures_are_sorted_and_hidden_ones_left_out(plain, tmp_path):
    names = ["b/2.JPG", "b/1.png", "a.webp", ".hidden.png", ".cache/x.png", "c.gif"]
    for name in names:
        plain(name, 0, size=(2, 2)) if not name.endswith("JPG") else plain("b/2.JPG", 0)
    (tmp_path / "notes.txt").write_text("no picture")
    found = [path.relative_to(tmp_path).as_posix() for path in pictures_in(tmp_path)]
    assert found == ["a.webp", "c.gif", "b/1.png", "b/2.JPG"]


def test_a_folder_has_to_be_one_and_to_have_pictures(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        pictures_in(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no pictures"):
        pictures_in(tmp_path)
