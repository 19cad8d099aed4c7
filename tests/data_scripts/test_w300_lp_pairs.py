"""Pairs of 300W-LP: the render of a fitted head lies where the published MATLAB code draws it.

The head is a small ball in the files' real layout: 199 components of shape and of colour, 29
expressions, a vertex less than the Basel Face Model has, numbers from 1.
"""

import dataclasses
import io
import math
import zipfile

import numpy as np
import pytest
import scipy.io
import torch

from data_scripts import w300_lp_pairs
from data_scripts.pair_parts import basel, fitted_pairs
from data_scripts.pair_parts.fitted_pairs import FittedPairs, chosen
from facelab import assets
from facelab.data.domains import Domains
from facelab.data.packed import Packed, pack
from facelab.data.public import w300_lp
from facelab.data.public.pictures import Listing, Pictures
from facelab.errors import DatasetError, ParameterError
from facelab.geometry import model_arrays
from facelab.images import from_uint8, save_image
from facelab.recognition.sampling import move_points

RINGS = 7
WHOLE = 2 * RINGS * (RINGS - 1) + 2  # vertices of the Basel Face Model here
KEPT = np.random.default_rng(5).permutation(WHOLE - 1)  # all but the south pole, in another order
LANDMARKS = np.random.default_rng(6).permutation(WHOLE - 1)[:68]
WHITE = {"Illum_Para": np.array([[1.0, 1, 1, 0, 0, 0, 0, 0, 0, 1]])}  # light from everywhere


def ball() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) of length 1 and triangles from 0, counter-clockwise from outside."""
    around, places, triangles = 2 * RINGS, [], []
    north, south = WHOLE - 2, WHOLE - 1
    for i in range(1, RINGS):
        for j in range(around):
            polar, turn = math.pi * i / RINGS, math.pi * (j + 0.5) / RINGS
            places.append((math.sin(polar) * math.sin(turn), math.cos(polar),
                           math.sin(polar) * math.cos(turn)))  # fmt: skip
            a, b = (i - 1) * around + j, (i - 1) * around + (j + 1) % around
            if i == 1:
                triangles.append((north, a, b))
            if i == RINGS - 1:
                triangles.append((south, b, a))
            else:
                triangles += [(a, a + around, b), (b, a + around, b + around)]
    return np.array([*places, (0, 1, 0), (0, -1, 0)], float), np.array(triangles)


def model() -> dict[str, dict[str, np.ndarray]]:
    """The files of a head, name -> arrays: a ball of 80 mm whose left half, +x, is red."""
    places, triangles = ball()
    random = np.random.default_rng(0)
    unit = [np.linalg.qr(random.standard_normal((3 * WHOLE, 199)))[0] for _ in range(2)]
    spread = np.linspace(9e5, 1e4, 199)[:, None]
    red = np.where(places[:, :1] > 0, [[200.0, 20, 20]], [[20.0, 20, 200]])
    whole = {
        "shapeMU": 8e4 * places.reshape(-1, 1), "shapePC": unit[0], "shapeEV": spread,
        "texMU": red.reshape(-1, 1), "texPC": unit[1], "texEV": spread / 1e3,
        "tl": triangles[:, [0, 2, 1]] + 1.0,
    }  # fmt: skip
    place = {vertex: number for number, vertex in enumerate(KEPT)}
    kept = [[place[v] for v in row] for row in triangles if WHOLE - 1 not in row]
    info = {
        "trimIndex": KEPT[:, None] + 1.0,
        "tri": np.array(kept)[:, ::-1].T + 1.0,
        "keypoints": LANDMARKS[None] + 1.0,
        "segbin": np.zeros((4, WHOLE)),
    }
    rows = (3 * KEPT[:, None] + np.arange(3)).ravel()
    expression = {
        "mu_exp": random.normal(0, 500, (len(rows), 1)),
        "w_exp": random.normal(0, 2000, (len(rows), 29)),
        "sigma_exp": np.ones((29, 1)),
    }
    shape = {
        "mu_shape": whole["shapeMU"][rows], "w": whole["shapePC"][rows],
        "mu_tex": whole["texMU"][rows], "w_tex": whole["texPC"][rows], "sigma": spread,
        "tri": info["tri"], "keypoints": info["keypoints"],
    }  # fmt: skip
    return dict(zip((*THREE, basel.SHAPE), (whole, info, expression, shape), strict=True))


THREE = (basel.BASEL, basel.INFO, basel.EXPRESSION[0])
FILES = model()


def write(folder, names=THREE, **changes):
    """Write files of the model, some arrays changed; return the folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        arrays = {key: changes.get(key, value) for key, value in FILES[name].items()}
        scipy.io.savemat(folder / name, arrays)
    return folder


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    return basel.load(write(tmp_path_factory.mktemp("basel") / "model"))


def published(pose, shape, expression) -> np.ndarray:
    """Where main_show_with_BFM.m draws the vertices, in MATLAB's pixels, (V, 2): by the letter."""
    parts = FILES[basel.SHAPE] | FILES[basel.EXPRESSION[0]]
    moved = parts["w"] @ shape + parts["w_exp"] @ expression
    vertex = (parts["mu_shape"] + parts["mu_exp"] + moved).reshape(-1, 3).T
    (cx, cy, cz), (sx, sy, sz) = np.cos(pose[0, :3]), np.sin(pose[0, :3])
    about_x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    turned = pose[0, 6] * (about_x @ about_y @ about_z) @ vertex + pose[0, 3:6, None]
    return np.stack([turned[0], 450 + 1 - turned[1]], axis=1)


def parameters(seed=0, pose=None, **changes) -> dict[str, np.ndarray]:
    """The arrays of a fit, whose landmarks are those of its head."""
    random = np.random.default_rng(seed)
    turn = random.uniform(-0.6, 0.6, 3)
    arrays = {
        "Pose_Para": np.array([[*turn, 220.0, 235.0, -60.0, 0.0015]]) if pose is None else pose,
        "Shape_Para": random.normal(0, 1e4, (199, 1)),
        "Exp_Para": random.uniform(-1, 1, (29, 1)),
        "Tex_Para": random.normal(0, 1, (199, 1)),
        "Illum_Para": np.array([[0.5, 0.6, 0.7, 0.5, 0.4, 0.3, 0.3, -0.4, 30.0, 15.0]]),
        "Color_Para": np.array([[1.0, 0.9, 1.1, 5.0, 0.0, -5.0, 0.8]]),
    } | changes
    places = published(*(arrays[name] for name in ("Pose_Para", "Shape_Para", "Exp_Para")))
    return {"pt2d": places[LANDMARKS].T, **arrays}


def still(pose, **changes) -> dict[str, np.ndarray]:
    """A fit of the mean head in light from everywhere."""
    zeros = {"Shape_Para": np.zeros((199, 1)), "Exp_Para": np.zeros((29, 1))}
    zeros |= {"Tex_Para": np.zeros((199, 1)), "Color_Para": np.array([[1.0, 1, 1, 0, 0, 0, 1]])}
    return parameters(pose=np.array([pose]), **(zeros | WHITE | changes))


@pytest.fixture
def pairs(head, tmp_path):
    """Make a dataset of pairs of these fits, over grey photographs."""

    def pairs(*fits, size=225, framing="centre"):
        folder = tmp_path / "300W_LP"
        for part in w300_lp.PARTS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        for number, arrays in enumerate(fits):
            scipy.io.savemat(folder / f"AFW/AFW_{number}_0.mat", arrays)
            save_image(torch.zeros(1, 3, 450, 450), folder / f"AFW/AFW_{number}_0.jpg")
        listing = chosen(w300_lp.listing(tmp_path), None)
        return FittedPairs(Pictures("300w-lp", listing, size, framing), head, {})

    return pairs


# --- the model ------------------------------------------------------------------------------------


def test_both_sets_of_files_give_the_same_head(head, tmp_path):
    made = basel.load(write(tmp_path / "made", (basel.SHAPE, basel.EXPRESSION[0])))
    for name, value in vars(head).items():
        torch.testing.assert_close(getattr(made, name), value, rtol=1e-3, atol=1e-7, msg=name)
    assert made.landmarks.tolist() == LANDMARKS.tolist()


def test_the_basel_face_model_that_is_kept_serves_too(head, tmp_path, monkeypatch):
    """As data_scripts/basel_face_model.py writes it, when the folder has none."""
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    arrays = {key: torch.from_numpy(value.copy()) for key, value in FILES[basel.BASEL].items()}
    kept = model_arrays.kept_path("bfm2009")
    kept.parent.mkdir(parents=True)
    sum_of_it = assets.save_weights(kept, arrays, "made by a test")
    kept.with_suffix(".sha256").write_text(sum_of_it)
    folder = write(tmp_path / "model", THREE[1:])
    assert basel.files(folder)[0] == kept
    found = basel.load(folder)
    torch.testing.assert_close(found.shape_mm, head.shape_mm, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(found.colour, head.colour, rtol=1e-4, atol=1e-6)


def test_vertices_and_colours_are_sums_with_the_published_coefficients(head):
    arrays = parameters(seed=3)
    shape, expression, texture = (
        torch.from_numpy(arrays[f"{name}_Para"].T).float() for name in ("Shape", "Exp", "Tex")
    )
    parts = FILES[basel.SHAPE] | FILES[basel.EXPRESSION[0]]
    moved = parts["w"] @ arrays["Shape_Para"] + parts["w_exp"] @ arrays["Exp_Para"]
    places = (parts["mu_shape"] + parts["mu_exp"] + moved).reshape(-1, 3) / 1000
    found = head.vertices(shape, expression)[0]
    torch.testing.assert_close(found, torch.from_numpy(places).float(), rtol=0, atol=1e-3)
    colours = (parts["mu_tex"] + parts["w_tex"] @ arrays["Tex_Para"]).reshape(-1, 3)
    found = head.colours(texture)[0]
    torch.testing.assert_close(found, torch.from_numpy(colours).float(), rtol=0, atol=1e-3)


def test_triangles_run_counter_clockwise_from_outside(head):
    a, b, c = head.mean_mm[head.triangles].unbind(1)
    outside = ((a + b + c) * torch.linalg.cross(b - a, c - a, dim=1)).sum(1)
    assert (outside > 0).float().mean() > 0.99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w_exp": np.zeros((3 * len(KEPT), 10))}, r"Model_Exp.mat has w_exp of shape 255 x 10"),
        ({"mu_exp": np.zeros((3 * WHOLE, 1))}, r"mu_exp of shape 258 x 1, expected 255 x 1"),
        ({"trimIndex": KEPT[:, None] + 3.0}, "trimIndex from 3.0 to 87.0, expected whole numbers"),
        ({"trimIndex": KEPT[:, None] + 0.5}, "trimIndex from 0.5"),
        ({"tri": FILES[basel.INFO]["tri"] - 1}, "tri from 0.0 to 84.0"),
        ({"keypoints": LANDMARKS[None, :5] + 1.0}, "keypoints of shape 1 x 5, expected 68"),
        ({"texPC": FILES[basel.BASEL]["texPC"][:, :9], "texEV": np.ones((9, 1))},
         "199 and 9 components, expected 199 of shape and of colour"),
    ],
)  # fmt: skip
def test_files_that_don_t_fit_are_named(tmp_path, changes, message):
    with pytest.raises(DatasetError, match=message):
        basel.load(write(tmp_path / "model", **changes))


def test_a_generated_file_whose_columns_differ(tmp_path):
    names = (basel.SHAPE, basel.EXPRESSION[0])
    folder = write(tmp_path / "model", names, mu_tex=np.zeros((252, 1)))
    with pytest.raises(DatasetError, match=r"mu_tex \(252, 1\).*as many rows in each"):
        basel.load(folder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((basel.INFO, "Model_Exp.mat"), r"has no 01_MorphableModel.mat; the Basel Face Model"),
        (THREE[:1], r"has no model_info.mat and no Model_Exp.mat; "),
        ((basel.SHAPE,), r"has no Model_Exp.mat; "),
    ],
)
def test_missing_files_are_named(tmp_path, monkeypatch, names, message):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DatasetError, match=message):
        basel.files(write(tmp_path / "model", names))


# --- where the head is ----------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["centre", "book64"])
@pytest.mark.parametrize("size", [64, 225])
def test_landmarks_of_the_render_lie_on_the_published_ones(pairs, framing, size):
    """To a hundredth of a pixel, in the frame of the packed picture."""
    fits = [parameters(seed) for seed in range(3)]
    batch = pairs(*fits, size=size, framing=framing).batch([0, 1, 2])
    photos = pairs(*fits, size=size, framing=framing).photos.batch([0, 1, 2])
    in_file = torch.stack([torch.from_numpy(arrays["pt2d"].T - 1).float() for arrays in fits])
    moved = move_points(in_file, photos.labels["frame"])
    torch.testing.assert_close(batch.landmarks, moved, rtol=0, atol=1e-2)
    torch.testing.assert_close(photos.landmarks, moved)
    assert batch.labels["landmark_error"].max() < 1e-3


def test_a_bright_vertex_shows_where_its_landmark_is(pairs, head):
    """The render itself: the brightest pixel is at most one from the landmark in the file."""
    front = int(head.mean_mm[head.landmarks][:, 2].argmax())
    colours = torch.zeros_like(head.mean_colour)
    colours[head.landmarks[front]] = 180.0  # brighter ones are bent, and make a plateau
    made = pairs(still([0.1, -0.2, 0.15, 220.0, 235.0, 0.0, 0.0015]), size=450)
    lit = FittedPairs(made.photos, dataclasses.replace(head, mean_colour=colours), {})
    brightest = lit.batch([0]).labels["render"][0].int().sum(2).argmax()
    found = torch.stack([brightest % 450, brightest // 450])
    expected = torch.from_numpy(made.photos.listing.landmarks[0, front])
    assert (found - expected).abs().max() <= 1


def red_share(batch) -> float:
    """The share of the head that is red, in the first render: its left half is."""
    red, _, blue = batch.labels["render"][0].float().unbind(2)
    return float((red > blue + 20).sum() / ((red - blue).abs() > 20).sum())


@pytest.mark.parametrize(
    ("angles", "share"),
    [((0, 0, 0), 0.5), ((0, math.pi / 2, 0), 1.0), ((0, -math.pi / 2, 0), 0.0),
     ((0, math.pi / 2, math.pi), 0.0), ((math.pi / 2, 0, 0), 0.5)],
)  # fmt: skip
def test_a_known_turn_shows_a_known_side(pairs, angles, share):
    """With a yaw of a quarter turn a head looks to the picture's left and shows its left side."""
    batch = pairs(still([*angles, 225.5, 225.5, 0.0, 0.0015]), size=90).batch([0])
    assert red_share(batch) == pytest.approx(share, abs=0.1)


def test_a_roll_of_a_quarter_turn_turns_the_picture_clockwise(pairs):
    """About the picture's middle, (225.5, 225.5) as the file counts: pixel by pixel."""
    poses = [[0.0, 0.0, roll, 225.5, 225.5, 0.0, 0.0015] for roll in (0.0, math.pi / 2)]
    batch = pairs(*(still(pose) for pose in poses), size=90).batch([0, 1])
    upright, turned = batch.labels["render"].int().unbind(0)
    off = (torch.rot90(upright, -1) - turned).abs().amax(2)
    assert (off > 3).float().mean() < 0.01
    assert (upright - turned).abs().amax(2).gt(20).float().mean() > 0.1


def test_scale_and_shift(pairs):
    """A ball of 80 mm at 1 px/mm covers pi 80^2 pixels about (tx - 1, 450 - ty)."""
    batch = pairs(still([0, 0, 0, 180.0, 280.0, 50.0, 0.001]), size=450).batch([0])
    render = batch.labels["render"][0].float()
    shown = (render - render[2, 2]).abs().amax(2) > 20
    assert shown.sum() == pytest.approx(math.pi * 80**2, rel=0.12)
    y, x = torch.nonzero(shown).float().mean(0)
    assert x == pytest.approx(179.0, abs=2.5)
    assert y == pytest.approx(170.0, abs=2.5)


def test_light_is_that_of_the_published_code():
    """Against its matrices, a vertex at a time, in float64."""
    random = np.random.default_rng(2)
    texture, normals = random.uniform(0, 255, (6, 3)), random.standard_normal((6, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    arrays = parameters(seed=1)
    illum, colour = arrays["Illum_Para"][0], arrays["Color_Para"][0]
    lamp = np.array([math.cos(illum[6]) * math.sin(illum[7]), math.sin(illum[6]),
                     math.cos(illum[6]) * math.cos(illum[7])])  # fmt: skip
    half = lamp + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    mixed = np.tile([0.3, 0.59, 0.11], (3, 1))
    contrast = np.diag(colour[:3]) @ (colour[6] * np.eye(3) + (1 - colour[6]) * mixed)
    expected = []
    for tex, normal in zip(texture, normals, strict=True):
        n_l, n_h = max(lamp @ normal, 0), max(half @ normal, 0)
        reflected = np.diag(illum[:3]) @ tex + np.diag(illum[3:6]) @ (n_l * tex)
        reflected = reflected + illum[8] * illum[3:6] * n_h ** illum[9]
        expected.append(np.clip((contrast @ reflected + colour[3:6]) / 255, 0, 1))
    values = (texture, normals, illum, colour)
    found = fitted_pairs.lit(*(torch.from_numpy(value).float()[None] for value in values))
    torch.testing.assert_close(found[0], torch.from_numpy(np.array(expected)).float())


def test_colours_come_out_as_they_went_in(pairs):
    """In white light from everywhere a face shows its texture; the background its photograph's."""
    batch = pairs(still([0, 0, 0, 225.5, 225.5, 0.0, 0.0015]), size=90).batch([0])
    render = batch.labels["render"][0].int()
    assert (render[45, 60] - torch.tensor([200, 20, 20])).abs().max() <= 1
    assert (render[45, 30] - torch.tensor([20, 20, 200])).abs().max() <= 1
    photo = (batch.images[0, :, 2, 2] + 1) * 127.5
    assert (render[2, 2] - photo).abs().max() <= 2


# --- the dataset and the script -------------------------------------------------------------------


def test_pairs_are_spread_over_the_set(tmp_path):
    listing = Listing(
        tmp_path, tuple("abcdefghij"), np.arange(10), np.zeros(10, np.uint8),
        labels={"age": np.arange(10.0)},
    )  # fmt: skip
    some = chosen(listing, 4)
    assert some.files == ("a", "c", "f", "h")
    assert some.labels["row"].tolist() == [0, 2, 5, 7]
    assert some.identity.tolist() == [0, 1, 2, 3]
    assert len(chosen(listing, None)) == 10
    for count in (0, 11):
        with pytest.raises(ParameterError, match=f"{count} pairs can't be made of 10 pictures"):
            chosen(listing, count)


def test_a_batch_says_how_the_head_is_turned_and_what_of(pairs):
    made = pairs(*(parameters(seed) for seed in range(3)))
    batch = made.batch([2, 0])
    assert batch.labels["photo"].tolist() == [2, 0]
    assert batch.labels["render"].dtype == torch.uint8
    torch.testing.assert_close(batch.euler_rad, made.photos.batch([2, 0]).labels["euler_rad"])
    assert batch.identity.tolist() == [2, 0]


@pytest.fixture
def run(mini, tmp_path, monkeypatch, capsys):
    """Run the script in an empty folder; return its status, output and last line of errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    small, model = mini.load(mini.HERE / "mini_w300_lp.py"), write(tmp_path / "model")
    for name, make in (("300w-lp", small.w300_lp), ("aflw2000-3d", small.aflw2000)):
        with zipfile.ZipFile(io.BytesIO(next(iter(make().values())))) as archive:
            archive.extractall(tmp_path / name)

    def run(*words, name="300w-lp"):
        words = [str(w).replace("MODEL", str(model)).replace("SETS", str(tmp_path)) for w in words]
        status = w300_lp_pairs.main([name, *words])
        captured = capsys.readouterr()
        return status, captured.out.strip(), (captured.err.splitlines() or [""])[-1]

    return run


@pytest.mark.parametrize(("name", "count"), [("300w-lp", 10), ("aflw2000-3d", 3)])
def test_from_a_set_to_a_file_that_ganfaces_takes(run, name, count):
    words = ["--from", f"SETS/{name}", "--model", "MODEL", "--size", "16", "-o", "pairs.facepack"]
    status, out, line = run(*words, name=name)
    assert (status, out) == (0, "pairs.facepack"), line
    assert line.startswith(f"{count} pairs; median error of landmarks ")
    packed = Packed("pairs.facepack")
    assert (len(packed), packed.size, packed.id) == (count, 16, f"{name}-pairs")
    assert packed.config()["model"].keys() == set(THREE)
    batch = packed.batch([0, 2])
    assert batch.labels["render"].shape == (2, 16, 16, 3)
    assert batch.landmarks.shape == (2, 68, 2)
    mixed = Domains(packed, packed, packed).batch([1])
    row = (1 * 104_729 + 7) % count
    expected = from_uint8(packed.batch([row]).labels["render"])
    torch.testing.assert_close(mixed.labels["pair_render"], expected)
    assert run("--verify", "-o", "pairs.facepack")[:2] == (0, "pairs.facepack")
    assert run(*words, name=name)[0] == 0  # it is there already, and is the same
    status, _, line = run(*words, "--count", "2", name=name)
    assert status == 2
    assert "was made with other settings" in line


def test_pictures_that_were_kept_are_found(run, mini, tmp_path):
    kept = tmp_path / "cache/sources/300w-lp"
    kept.mkdir(parents=True)
    (tmp_path / "300w-lp").rename(kept / "300W-LP.zip.d")
    status, out, line = run("--model", "MODEL", "--size", "16", "--count", "1")
    assert (status, out) == (0, "w300_lp_pairs.facepack"), line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "w300-lp-pairs: the head's files are needed; give their folder with --model"),
        (("--model", "nowhere"), "nowhere is no folder"),
        (("--model", "MODEL"), "the pictures of 300w-lp aren't in "),
        (("--model", "MODEL", "--from", "MODEL"), "has no AFW"),
        (("--model", "SETS/300w-lp", "--from", "SETS/300w-lp"), "no 01_MorphableModel.mat"),
        (("--model", "MODEL", "--from", "SETS/300w-lp", "--framing", "x"), "no framing 'x'"),
        (("--model", "MODEL", "--from", "SETS/300w-lp", "--count", "11"), "give 1 to those"),
        (("--verify",), "w300_lp_pairs.facepack does not exist"),
    ],
)
def test_mistakes_are_one_line(run, words, message):
    status, out, line = run(*words)
    assert (status, out) == (2, "")
    assert message in line


def test_a_file_without_pairs_is_not_verified(run, pairs):
    pack(pairs(parameters()).photos, "photos.facepack")
    status, _, line = run("--verify", "-o", "photos.facepack")
    assert status == 2
    assert "photos.facepack has no label 'render', so it holds no pairs" in line
