"""A driving sequence: it moves smoothly, talks at the rate of speech, and stays one person."""

import itertools
import math

import pytest
import torch

from facelab.data.anny_faces import AnnyFaces
from facelab.data.driving import (
    BANDS_HZ,
    LIMITS_DEG,
    SHARES,
    STEEPEST,
    Driving,
    Syllable,
    Wave,
    frames_of,
    speech,
)
from facelab.data.seeding import split_of, stream
from facelab.errors import DatasetError, ParameterError

SIZE = 16
STAYS = ("identity_seed", "identity_coefficients", "phenotype", "light_harmonics", "light_shadows",
         "light_direction", "light_intensity", "camera_distance_mm", "view_seed")  # fmt: skip


@pytest.fixture(scope="module")
def moving():
    """The labels of ten seconds."""
    return Driving(250, size=SIZE).labels(range(250))


def power(series, frames_per_second=25):
    """The share of a series' variance between 2 and 8 Hz."""
    series = series.double() - series.double().mean()
    energy = torch.fft.rfft(series).abs().square()
    hertz = torch.fft.rfftfreq(len(series), 1 / frames_per_second)
    return float(energy[(hertz >= 2) & (hertz <= 8)].sum() / energy.sum())


def test_a_wave_is_its_sinusoids():
    wave = Wave((0.25, 0.5, 1.0), (0.0, math.pi / 2, 0.0))
    assert wave.at(0.0) == pytest.approx(SHARES[1])
    assert wave.at(1.0) == pytest.approx(SHARES[0] - SHARES[1])
    assert sum(SHARES) == pytest.approx(1)
    drawn = Wave.draw(stream("a wave"))
    for frequency, (low, high) in zip(drawn.frequencies_hz, BANDS_HZ, strict=True):
        assert low <= frequency <= high
    assert len(set(drawn.phases_rad)) == 3


def test_a_syllable_opens_and_closes():
    syllable = Syllable(1.0, 0.2, 0.8, 0.5)
    times = (0.9, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3)
    expected = [0.0, 0.0, 0.4, 0.8, 0.4, 0.0, 0.0]
    assert [syllable.at(t) for t in times] == pytest.approx(expected, abs=1e-12)


def test_speech_has_phrases_and_pauses_and_only_grows():
    said = speech(stream("speech"), 60.0)
    assert said[: len(speech(stream("speech"), 5.0))] == speech(stream("speech"), 5.0)
    gaps = [b.start_s - a.start_s - a.length_s for a, b in itertools.pairwise(said)]
    pauses = [gap for gap in gaps if gap > 1e-9]
    assert all(0.25 <= pause <= 0.6 for pause in pauses)
    assert 5 <= len(said) / (len(pauses) + 1) <= 9
    assert all(0.2 <= s.length_s <= 0.3 and 0.5 <= s.opening <= 1 for s in said)
    assert said[-1].start_s + said[-1].length_s > 59


def test_the_head_turns_smoothly_and_within_bounds(moving):
    degrees = moving.euler_rad.rad2deg()
    limits = torch.tensor(LIMITS_DEG)
    assert (degrees.abs() <= limits).all()
    step = degrees.diff(dim=0).abs().amax(0)
    assert (step <= limits * STEEPEST / 25).all()
    assert (step <= torch.tensor([3.5, 1.2, 0.7])).all()
    # It does turn: by more than half of what it may.
    assert (degrees.amax(0) - degrees.amin(0) > limits).all()


def test_the_face_changes_smoothly_and_the_mouth_at_the_rate_of_speech(moving):
    names = AnnyFaces(SIZE, 1, 1).model.expression_names
    weights = moving.labels["expression_weights"]
    assert 0 <= float(weights.min()) < float(weights.max()) <= 1
    spoken = [names.index(n) for n in ("jawOpen", "mouthFunnel")]
    spoken += [names.index(f"mouthLowerDown{side}") for side in ("Left", "Right")]
    slow = [n for n in range(len(names)) if n not in spoken]
    assert float(weights[:, slow].diff(dim=0).abs().max()) <= 0.7 * STEEPEST / 25
    opening = moving.labels["mouth_opening"]
    assert 0 <= float(opening.min()) < 0.05
    assert 0.9 < float(opening.max()) <= 1
    torch.testing.assert_close(weights[:, names.index("jawOpen")], 0.4 * opening)
    torch.testing.assert_close(weights[:, spoken[2]], 0.3 * opening)
    funnel = weights[:, names.index("mouthFunnel")]
    assert (funnel <= 0.4 * opening).all()
    assert float(funnel.max()) > 0.1
    assert power(opening) > 0.5
    assert power(moving.euler_rad[:, 0]) < 0.02
    moving = [names.index(n) for n in ("mouthSmileLeft", "browInnerUp", "eyeSquintLeft")]
    assert (weights[:, moving].std(0) > 0.03).all()


def test_an_open_mouth_is_open_in_the_landmarks(moving):
    gap = (moving.landmarks[:, 66] - moving.landmarks[:, 62]).norm(dim=1)
    both = torch.stack([gap, moving.labels["mouth_opening"]])
    assert float(torch.corrcoef(both)[0, 1]) > 0.9


def test_one_person_one_light_one_day(moving):
    looks = [name for name in moving.labels if name.startswith("looks_")]
    for name in (*STAYS, *looks):
        values = moving.labels[name]
        assert torch.equal(values, values[:1].expand_as(values)), name
    assert not moving.identity.any()
    seed = int(moving.labels["identity_seed"][0])
    assert split_of(seed) == "test"
    assert AnnyFaces(SIZE, 3, 1, split="test").people_seeds[0] == seed


def test_time_is_counted_in_frames():
    slow = Driving(30, size=SIZE).labels([0, 12, 24])
    fast = Driving(60, size=SIZE, frames_per_second=50).labels([0, 24, 48])
    torch.testing.assert_close(slow.labels["time_s"], torch.tensor([0.0, 0.48, 0.96]))
    for name in ("time_s", "mouth_opening", "expression_weights"):
        assert torch.equal(slow.labels[name], fast.labels[name])
    assert torch.equal(slow.euler_rad, fast.euler_rad)


def test_a_frame_is_the_same_whichever_are_asked_for():
    long, short = Driving(40, size=SIZE).batch([31, 7, 8]), Driving(9, size=SIZE).batch([7])
    assert long.images.shape == (3, 3, SIZE, SIZE)
    for name in ("euler_rad", "landmarks", "attributes"):
        assert torch.equal(getattr(long, name)[1:2], getattr(short, name))
    for name, values in long.labels.items():
        assert torch.equal(values[1:2], short.labels[name]), name
    # To half a level of a picture file.
    assert float((long.images[1:2] - short.images).abs().max()) < 1 / 255
    assert float((long.images[0] - long.images[1]).abs().mean()) > 0.02
    # Neighbours differ less than frames that are a second apart.
    near, far = ((long.images[1] - long.images[n]).abs().mean() for n in (2, 0))
    assert near < far / 2


def test_labels_are_those_of_the_pictures():
    dataset = Driving(10, size=SIZE)
    drawn, told = dataset.batch([3, 4]), dataset.labels([3, 4])
    assert torch.equal(drawn.landmarks, told.landmarks)
    assert list(drawn.labels) == list(told.labels)
    assert told.images.shape == (2, 3, 0, 0)
    assert drawn.coverage.shape == (2, 1, SIZE, SIZE)


def test_others_move_otherwise():
    first, other, seeded = (Driving(10, size=SIZE, **k) for k in ({}, {"person": 1}, {"seed": 1}))
    told = [dataset.labels(range(10)) for dataset in (first, other, seeded)]
    moves = [torch.stack([t.euler_rad[:, 0], t.labels["mouth_opening"]]) for t in told]
    for another in moves[1:]:
        assert ((moves[0] - another).abs().amax(1) > 0.01).all()
    assert len({int(t.labels["view_seed"][0]) for t in told}) == 3
    assert len({d.identity_seed for d in (first, other, seeded)}) == 3
    assert len({d.config_hash for d in (first, other, seeded)}) == 3
    assert first.config_hash == Driving(10, size=SIZE).config_hash


def test_stills_are_the_person_in_views_of_anny_faces():
    sequence = Driving(5, person=1, seed=3, size=SIZE)
    stills = sequence.still(2)
    usual = AnnyFaces(SIZE, 2, 2, seed=3, split="test").batch([2, 3])
    assert torch.equal(stills.labels["view_seed"], usual.labels["view_seed"])
    assert float((stills.images - usual.images).abs().max()) < 1 / 255
    coefficients = sequence.labels([0]).labels["identity_coefficients"]
    assert torch.equal(stills.labels["identity_coefficients"], coefficients.expand(2, -1))
    views = {
        *stills.labels["view_seed"].tolist(),
        *sequence.labels([0]).labels["view_seed"].tolist(),
    }
    assert len(views) == 3
    with pytest.raises(ParameterError, match="0 views make no dataset"):
        sequence.still(0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"frames": 0}, "0 frames make no sequence"),
        ({"frames": 100_001}, "100001 frames make no sequence"),
        ({"person": -1}, "no person -1"),
        ({"frames_per_second": 9}, "9 frames a second can't show syllables"),
        ({"frames_per_second": math.nan}, "nan frames a second"),
        ({"split": "best"}, "no split 'best'"),
        ({"size": 8}, "faces of 8 pixels"),
    ],
)
def test_what_can_not_be_is_named(words, message):
    with pytest.raises(ParameterError, match=message):
        Driving(**words)


def test_a_frame_past_the_end_is_named():
    with pytest.raises(ParameterError, match="driving-16 has 5 faces, there is no number 5"):
        Driving(5, size=SIZE).batch([5])


# --- a reader's own frames -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for name in ("frame10.png", "frame2.png", "frame1.PNG", "notes.txt", ".hidden.png", "a.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def test_frames_come_in_the_order_of_their_numbers(folder):
    expected = ["frame1.PNG", "frame2.png", "frame10.png"]
    assert [path.name for path in frames_of(folder)] == expected
    assert [path.name for path in frames_of(str(folder))] == expected
    files = sorted(folder.glob("frame*"))
    assert [p.name for p in files] != expected
    assert [path.name for path in frames_of(files)] == expected
    assert frames_of(folder / "frame2.png") == [folder / "frame2.png"]


def test_numbers_count_in_every_part_of_a_name(tmp_path):
    names = ["take2/7 b.png", "take10/2.png", "take2/07.png", "take2/10.png", "take2/x.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [p.relative_to(tmp_path).as_posix() for p in frames_of([tmp_path / n for n in names])]
    expected = ["take2/7 b.png", "take2/07.png", "take2/10.png", "take2/x.png", "take10/2.png"]
    assert found == expected


def test_what_makes_no_sequence_is_named(folder, tmp_path):
    (folder / "frame3.jpg").touch()
    empty, clips = tmp_path / "empty", tmp_path / "clips"
    for made in (empty, clips):
        made.mkdir()
    (clips / "clip.MOV").touch()
    for given, message in (
        (folder, r"several endings \(.jpg, .png\)"),
        (empty, "has no picture"),
        ([], "no frame was given"),
        (clips, 'clip.MOV is a video, not its frames; .* ffmpeg -i ".*clip.MOV"'),
        (folder / "a.mp4", "a.mp4 is a video, not its frames"),
        ([folder / "frame2.png", folder / "a.mp4"], "a.mp4 is a video"),
        (folder / "notes.txt", "notes.txt is no picture"),
        ([folder / "frame2.png", empty], "empty is a folder; give one folder alone"),
        (folder / "frame4.png", "there is no file .*frame4.png"),
    ):
        with pytest.raises(DatasetError, match=message) as caught:
            frames_of(given)
        assert "\n" not in str(caught.value)
