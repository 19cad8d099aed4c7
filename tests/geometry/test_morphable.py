"""The shipped head, what its coefficients do, and files that it can't be read from."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from facelab.errors import CheckpointError, GeometryError, ParameterError
from facelab.geometry import morphable
from facelab.geometry.camera import Camera
from facelab.geometry.morphable import HEAD, anny_head
from facelab.geometry.rasterize import rasterize

# Where each landmark lies when left and right are exchanged.
MIRRORED = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *(67, 66, 65),
)
LEFT_TO_RIGHT = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def head():
    return anny_head()


@pytest.fixture(scope="module")
def card():
    from safetensors import safe_open

    with safe_open(HEAD, framework="pt") as opened:
        return json.loads(opened.metadata()["facelab"])


@pytest.fixture(scope="module")
def tensors():
    return load_file(HEAD)


def landmarks(head, **expression) -> torch.Tensor:
    """The landmarks (68, 3) of the mean face with an expression."""
    still = torch.zeros(1, head.components)
    return head.landmark_points(head.shape(still, head.expression(**expression)))[0]


class TestHead:
    def test_its_size(self, head, card):
        assert head.mean_mm.shape == (5453, 3)
        assert head.triangles.shape == (10688, 3)
        assert head.uv_triangles.shape == (10688, 3)
        assert len(head.landmarks) == 68
        assert len(set(head.expression_names)) == 52
        assert card["heads"] >= 20_000
        assert 0.99 <= head.variance_kept < 1
        assert HEAD.stat().st_size <= 10e6

    def test_its_licences_are_told(self, head):
        assert "Apache-2.0" in head.notice
        assert "CC0" in head.notice
        assert "Apache" in (HEAD.parent / "NOTICE.md").read_text()

    def test_components_are_orthonormal_to_the_precision_of_float16(self, head):
        basis = head.identity_basis.flatten(1)
        torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), rtol=0, atol=1e-4)

    def test_deviations_are_sorted(self, head):
        assert (head.deviations_mm.diff() <= 0).all()

    def test_triangles_run_counter_clockwise_from_outside(self, head):
        skin = head.triangles[head.region("skin")]
        a, b, c = head.mean_mm[skin].unbind(1)
        normals = torch.linalg.cross(b - a, c - a, dim=1)
        outwards = ((a + b + c) / 3 * normals).sum(1)
        assert outwards[outwards > 0].sum() > 20 * -outwards[outwards < 0].sum()
        assert (normals.norm(dim=1) > 0).all()

    def test_every_region_has_triangles_and_no_others_do(self, head):
        counts = {name: len(head.region(name)) for name in head.region_names}
        assert min(counts.values()) >= 10
        assert sum(counts.values()) == len(head.triangles)
        assert {"skin", "lips", "brows", "eyes", "iris", "scalp", "ears", "neck"} <= set(counts)
        assert {"mouth_cavity", "teeth"} <= set(counts)

    def test_texture_coordinates_are_inside_the_picture(self, head):
        assert head.uv.min() >= 0
        assert head.uv.max() <= 1

    def test_an_unknown_region(self, head):
        with pytest.raises(ParameterError, match="no region 'nose'; it has: skin, lips"):
            head.region("nose")

    def test_it_can_move(self, head):
        moved = head.to("meta")
        assert moved.mean_mm.device.type == moved.landmarks.device.type == "meta"
        assert moved.expression_names == head.expression_names


class TestLandmarks:
    def test_each_is_on_its_region(self, head):
        def regions(landmark: int) -> set[str]:
            around = (head.triangles == head.landmarks[landmark]).any(1)
            return {head.region_names[i] for i in head.triangle_regions[around]}

        assert all("skin" in regions(i) for i in (*range(17), *range(27, 48)))
        assert all("brows" in regions(i) for i in range(17, 27))
        assert all("lips" in regions(i) for i in range(48, 68))

    def test_no_two_are_the_same_vertex(self, head):
        assert len(set(head.landmarks.tolist())) == 68

    def test_left_and_right_mirror_each_other(self, head):
        points = landmarks(head)
        distance = (points * LEFT_TO_RIGHT - points[list(MIRRORED)]).norm(dim=1)
        assert distance.max() < 0.4
        nearest = torch.cdist(head.mean_mm * LEFT_TO_RIGHT, head.mean_mm).amin(1)
        assert nearest.max() < 0.7
        assert nearest.mean() < 0.05

    def test_the_outline_goes_from_ear_to_chin_to_ear(self, head):
        x, y, z = landmarks(head)[:17].T
        assert (x.diff() > 0).all()
        assert (y[:9].diff() < 0).all()
        assert (y[8:].diff() > 0).all()
        assert z.argmax() == 8

    def test_brows_are_over_eyes_over_nose_over_mouth(self, head):
        y = landmarks(head)[:, 1]
        assert y[17:27].min() > y[36:48].max() > y[27:36].max() - 5
        assert y[31:36].min() > y[48:68].max()
        assert (y[27:31].diff() < -10).all()
        assert landmarks(head)[:, 2].argmax() == 30
        assert (y[[37, 38, 43, 44]] > y[[41, 40, 47, 46]] + 5).all()

    def test_the_mouths_inner_points_lie_inside_the_outer_ones(self, head):
        x, y, _ = landmarks(head).T
        assert x[48] < x[60] < x[61] < x[62] < x[63] < x[64] < x[54]
        assert (y[[49, 50, 51, 52, 53]] > y[[61, 61, 62, 63, 63]] + 5).all()
        assert (y[[59, 58, 57, 56, 55]] < y[[67, 67, 66, 65, 65]] - 5).all()

    def test_an_open_mouth_shows_them_from_the_front(self, head):
        still = torch.zeros(1, head.components)
        vertices = head.shape(still, head.expression(jawOpen=0.7))
        pixels_xy, depth_mm = Camera.portrait(500).project(vertices)
        nearest = rasterize(pixels_xy, depth_mm, head.triangles, (500, 500)).depth_mm[0]
        hidden = []
        for i in range(17, 68):
            x, y = pixels_xy[0, head.landmarks[i]].round().long()
            around = nearest[y - 1 : y + 2, x - 1 : x + 2]
            if depth_mm[0, head.landmarks[i]] > around.max() + 1:
                hidden.append(i)
        assert hidden == []


class TestExpressions:
    def test_at_rest_nothing_moves(self, head):
        identity = torch.randn(2, head.components)
        moved = head.shape(identity, head.expression())
        torch.testing.assert_close(moved, head.shape(identity))

    def test_every_name_moves_something(self, head):
        assert (head.expression_mm.norm(dim=2).amax(1) > 2).all()

    def test_jaw_open_lowers_the_chin_and_parts_the_lips(self, head):
        rest, opened = landmarks(head), landmarks(head, jawOpen=1)
        assert opened[8, 1] < rest[8, 1] - 15
        gap = opened[[61, 62, 63], 1] - opened[[67, 66, 65], 1]
        assert (gap > 15).all()
        torch.testing.assert_close(opened[36:48], rest[36:48], rtol=0, atol=0.1)

    @pytest.mark.parametrize(
        ("name", "closed", "other"),
        [
            ("eyeBlinkLeft", [(43, 47), (44, 46)], slice(36, 42)),
            ("eyeBlinkRight", [(37, 41), (38, 40)], slice(42, 48)),
        ],
    )
    def test_a_blink_closes_one_eye(self, head, name, closed, other):
        rest, blink = landmarks(head), landmarks(head, **{name: 1.0})
        for upper, lower in closed:
            assert rest[upper, 1] - rest[lower, 1] > 7
            assert abs(blink[upper, 1] - blink[lower, 1]) < 1
        torch.testing.assert_close(blink[other], rest[other], rtol=0, atol=0.1)

    @pytest.mark.parametrize(
        ("name", "corner", "outwards"), [("mouthSmileLeft", 54, 1), ("mouthSmileRight", 48, -1)]
    )
    def test_a_smile_takes_a_corner_out_and_up(self, head, name, corner, outwards):
        moved = landmarks(head, **{name: 1}) - landmarks(head)
        assert moved[corner, 0] * outwards > 4
        assert moved[corner, 1] > 4
        assert moved[102 - corner].norm() < 1

    @pytest.mark.parametrize(
        ("name", "points", "axis", "sign"),
        [
            ("browInnerUp", [21, 22], 1, 1),
            ("browDownLeft", [23, 24, 25], 1, -1),
            ("browDownRight", [18, 19, 20], 1, -1),
            ("browOuterUpLeft", [25, 26], 1, 1),
            ("mouthFrownLeft", [54], 1, -1),
            ("mouthFrownRight", [48], 1, -1),
            ("mouthPucker", [51, 57, 62, 66], 2, 1),
            ("jawLeft", [7, 8, 9], 0, 1),
            ("jawRight", [7, 8, 9], 0, -1),
            ("jawForward", [8], 2, 1),
            ("eyeWideLeft", [43, 44], 1, 1),
            ("mouthLeft", [48, 51, 54, 57], 0, 1),
            ("mouthRight", [48, 51, 54, 57], 0, -1),
        ],
    )
    def test_a_name_says_where_things_go(self, head, name, points, axis, sign):
        moved = landmarks(head, **{name: 1}) - landmarks(head)
        assert (moved[points, axis] * sign > 1).all()

    def test_left_and_right_are_mirror_images(self, head):
        for name in head.expression_names:
            if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
                left, right = (landmarks(head, **{n: 1}) - landmarks(head)
                               for n in (name, name.replace("Left", "Right")))  # fmt: skip
                mirrored = (right * LEFT_TO_RIGHT)[list(MIRRORED)]
                torch.testing.assert_close(left, mirrored, rtol=0, atol=2.0)

    def test_an_unknown_name(self, head):
        with pytest.raises(ParameterError, match="no expression 'smirk'; it has: browDownLeft"):
            head.expression(smirk=1)


class TestShape:
    def test_identity_0_is_the_mean(self, head):
        torch.testing.assert_close(head.shape(torch.zeros(1, 90))[0], head.mean_mm)

    def test_it_is_linear(self, head, random):
        a, b = head.sample_identity(2, random)[:, None]
        w, v = head.expression(jawOpen=0.5), head.expression(mouthSmileLeft=0.8)
        both = head.shape(a + b, w + v) - head.mean_mm
        each = head.shape(a, w) + head.shape(b, v) - 2 * head.mean_mm
        torch.testing.assert_close(both, each, rtol=1e-4, atol=1e-4)

    def test_the_obvious_sum(self, head):
        identity = torch.tensor([[0.5, -2.0]])
        expected = head.mean_mm + 0.5 * head.identity_mm[0] - 2 * head.identity_mm[1]
        torch.testing.assert_close(head.shape(identity)[0], expected)

    def test_one_identity_with_many_expressions(self, head):
        weights = torch.cat([head.expression(jawOpen=w) for w in (0.0, 0.5, 1.0)])
        chin = head.shape(torch.zeros(1, 90), weights)[:, head.landmarks[8], 1]
        torch.testing.assert_close(chin[0] - chin[1], chin[1] - chin[2])

    def test_gradients_reach_the_coefficients(self, head):
        identity, weights = (torch.zeros(1, n, requires_grad=True) for n in (90, 52))
        head.shape(identity, weights)[0, :, 1].square().sum().backward()
        expected = 2 * head.identity_mm[..., 1] @ head.mean_mm[:, 1]
        torch.testing.assert_close(identity.grad[0], expected, rtol=1e-3, atol=1e-1)
        assert (weights.grad.abs() > 0).sum() == 52

    def test_drawn_heads_vary_as_the_deviations_say(self, head, random):
        offset = head.shape(head.sample_identity(400, random)) - head.mean_mm
        spread = offset.square().sum((1, 2)).mean()
        assert float(spread) == pytest.approx(float(head.deviations_mm.square().sum()), rel=0.1)

    def test_too_many_coefficients(self, head):
        with pytest.raises(GeometryError, match=r"91 identity coefficients were given, .* has 90"):
            head.shape(torch.zeros(1, 91))
        with pytest.raises(GeometryError, match="53 expression coefficients"):
            head.shape(torch.zeros(1, 90), torch.zeros(1, 53))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_coefficients_that_are_not_finite(self, head, value):
        with pytest.raises(GeometryError, match="identity coefficient is not finite"):
            head.shape(torch.full((1, 1), value))
        with pytest.raises(GeometryError, match="expression coefficient is not finite"):
            head.shape(torch.zeros(1, 1), torch.full((1, 1), value))


class TestPhenotype:
    @pytest.mark.parametrize("name", ["gender", "age", "weight", "african"])
    def test_moving_along_a_phenotypes_weights_changes_it_as_told(self, head, name):
        row = head.phenotype_weights[head.phenotype_names.index(name), :-1]
        rest = head.phenotype(torch.zeros(1, 90))[name]
        moved = head.phenotype(0.3 * row[None] / row.square().sum())[name]
        torch.testing.assert_close(moved - rest, torch.tensor([0.3]))

    def test_drawn_heads_are_adults_of_all_kinds(self, head, random):
        found = head.phenotype(head.sample_identity(2000, random))
        assert float(found["gender"].mean()) == pytest.approx(0.5, abs=0.05)
        assert float(found["age"].mean()) == pytest.approx(0.8, abs=0.05)
        ethnic = sum(found[k] for k in ("african", "asian", "caucasian"))
        torch.testing.assert_close(ethnic, torch.ones(2000), rtol=0, atol=0.02)

    def test_a_man_has_a_larger_jaw_than_a_woman(self, head):
        row = head.phenotype_weights[head.phenotype_names.index("gender"), :-1]
        step = 0.5 * row[None] / row.square().sum()
        woman, man = (head.landmark_points(head.shape(s * step))[0] for s in (1, -1))
        assert man[12, 0] - man[4, 0] > woman[12, 0] - woman[4, 0] + 2


class TestFiles:
    """A file that can't be used is one clear line."""

    @pytest.fixture
    def refused(self, tmp_path, card):
        """Write tensors (and another card), and return why they are refused."""

        def refused(tensors: dict, **changes) -> str:
            path = tmp_path / "head.safetensors"
            save_file(tensors, path, metadata={"facelab": json.dumps(card | changes)})
            with pytest.raises(CheckpointError) as caught:
                morphable.load(path)
            text = str(caught.value)
            assert str(path) in text
            assert "\n" not in text
            assert "make it again" in text or "data_scripts/anny_head.py" in text
            return text

        return refused

    def test_what_was_written_is_read(self, tensors, card, tmp_path):
        path = tmp_path / "head.safetensors"
        save_file(tensors, path, metadata={"facelab": json.dumps(card)})
        read = morphable.load(path)
        assert torch.equal(read.mean_mm, tensors["mean_mm"])
        assert read.id == "anny-head"

    @pytest.mark.parametrize("kept", [0, 7, 3000, -1000])
    def test_truncated(self, tmp_path, kept):
        path = tmp_path / "head.safetensors"
        path.write_bytes(HEAD.read_bytes()[:kept])
        with pytest.raises(CheckpointError, match=r"missing, damaged or no safetensors.*again"):
            morphable.load(path)

    def test_missing_or_a_folder(self, tmp_path):
        for path in (tmp_path, tmp_path / "no"):
            with pytest.raises(CheckpointError, match="missing"):
                morphable.load(path)

    def test_a_pickle_is_not_run(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (exec, ("raise SystemExit('unpickled')",))

        path = tmp_path / "head.safetensors"
        path.write_bytes(pickle.dumps(Trap()))
        with pytest.raises(CheckpointError, match="no safetensors file"):
            morphable.load(path)

    def test_weights_of_something_else(self, tensors, tmp_path, refused):
        assert "format facelab-morphable-1" in refused(tensors, format="facelab-morphable-0")
        save_file({"w": torch.zeros(1)}, tmp_path / "x.safetensors")
        with pytest.raises(CheckpointError, match="no morphable model of format"):
            morphable.load(tmp_path / "x.safetensors")

    def test_a_tensor_is_missing(self, tensors, refused):
        less = {k: v for k, v in tensors.items() if k != "landmarks"}
        assert "lacks landmarks ('L',) torch.int32" in refused(less)

    def test_a_tensor_of_another_type(self, tensors, refused):
        text = refused(tensors | {"identity_mm": tensors["identity_mm"].float()})
        assert "identity_mm (90, 5453, 3) torch.float32, expected" in text

    @pytest.mark.parametrize(
        ("name", "cut"),
        [
            ("identity_mm", slice(0, 85)),
            ("uv_triangles", slice(0, 10)),
            ("triangle_regions", slice(0, 10)),
            ("mean_mm", slice(0, 5452)),
        ],
    )
    def test_tensors_that_do_not_fit_each_other(self, tensors, refused, name, cut):
        assert ", expected " in refused(tensors | {name: tensors[name][cut].contiguous()})

    def test_phenotype_weights_of_another_model(self, tensors, refused):
        less = tensors["phenotype_weights"][:, 1:].contiguous()
        assert "expected phenotype_weights ('P', 91)" in refused(
            tensors | {"phenotype_weights": less}
        )

    def test_values_that_are_not_finite(self, tensors, refused):
        mean = tensors["mean_mm"].clone()
        mean[3, 1] = float("nan")
        assert "mean_mm has values that are not finite" in refused(tensors | {"mean_mm": mean})

    @pytest.mark.parametrize("index", [-1, 5453])
    def test_a_triangle_of_vertices_that_are_not_there(self, tensors, refused, index):
        triangles = tensors["triangles"].clone()
        triangles[0, 0] = index
        assert "expected 0 to 5452" in refused(tensors | {"triangles": triangles})

    def test_a_deviation_of_zero(self, tensors, refused):
        deviations = tensors["deviations_mm"].clone()
        deviations[-1] = 0
        assert "not positive" in refused(tensors | {"deviations_mm": deviations})

    def test_names_that_do_not_fit(self, tensors, refused):
        assert "names 1 expressions and holds 52" in refused(tensors, expressions=["a"])
        assert "names 0 phenotypes and holds 7" in refused(tensors, phenotypes=None)
        assert "triangle_regions runs from 0 to 11" in refused(tensors, regions=["skin"])


def test_components_are_counted_until_they_keep_the_share_of_the_variance():
    model = morphable.anny_head()
    variances = model.deviations_mm.double().square()
    for share in (0.5, 0.9, 0.99):
        count = model.components_for(share)
        assert variances[:count].sum() >= share * variances.sum()
        assert variances[: count - 1].sum() < share * variances.sum()
    assert model.components_for(1.0) <= model.components
